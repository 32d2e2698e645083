"""Many write the same key at once, on the condition that it is not there: one of them wins.

A shard's first report, the first plan of a source and the store's id stand on that. The embedded S3 takes
seconds to decide among so many.
"""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from imagebatch.errors import AlreadyExistsError
from imagebatch.storage.s3 import S3Store
from imagebatch.storage.store import Media
from imagebatch_testing.servers import Servers

pytestmark = pytest.mark.integration

CLIENTS = 100
TEXT = Media("text/plain")


def test_of_a_hundred_clients_one_wins(servers: Servers, s3_store: S3Store) -> None:
    store, together = S3Store(servers.s3, connections=CLIENTS), Barrier(CLIENTS)

    def put(name: int) -> int | None:
        together.wait()
        try:
            store.put("race/sdk", str(name).encode(), TEXT, only_if_absent=True)
        except AlreadyExistsError:
            return None
        return name

    try:
        with ThreadPoolExecutor(CLIENTS) as threads:
            winners = [name for name in threads.map(put, range(CLIENTS)) if name is not None]
    finally:
        store.close()
    assert [str(name).encode() for name in winners] == [s3_store.get("race/sdk")]
