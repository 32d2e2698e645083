"""Many write the same key at once, on the condition that it is not there: one of them wins.

A shard's first report, the first plan of a source and the store's id stand on that.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from imagebatch.errors import AlreadyExistsError
from imagebatch.storage.s3 import S3Store
from imagebatch.storage.s3_direct import DirectS3
from imagebatch.storage.store import Media
from imagebatch_testing.servers import Servers

pytestmark = pytest.mark.integration

CLIENTS = 100
ROUNDS = 5
TEXT = Media("text/plain")


def test_of_a_hundred_clients_one_wins(servers: Servers, s3_store: S3Store) -> None:
    store = S3Store(servers.s3, connections=CLIENTS)
    try:
        with ThreadPoolExecutor(CLIENTS) as threads:
            for number in range(ROUNDS):
                together = Barrier(CLIENTS)

                def put(name: int, key: str = f"race/{number}", together: Barrier = together) -> int | None:
                    together.wait()
                    try:
                        store.put(key, str(name).encode(), TEXT, only_if_absent=True)
                    except AlreadyExistsError:
                        return None
                    return name

                winners = [name for name in threads.map(put, range(CLIENTS)) if name is not None]
                assert [str(name).encode() for name in winners] == [s3_store.get(f"race/{number}")]
    finally:
        store.close()


@pytest.mark.anyio
async def test_of_a_hundred_jobrunners_one_wins(servers: Servers, s3_store: S3Store) -> None:
    async with DirectS3(servers.s3, lambda: s3_store, connections=CLIENTS) as direct:

        async def put(name: int, key: str) -> int | None:
            try:
                await direct.stored(key, str(name).encode(), TEXT, only_if_absent=True)
            except AlreadyExistsError:
                return None
            return name

        for number in range(ROUNDS):
            key = f"race/direct-{number}"
            found = await asyncio.gather(*(put(name, key) for name in range(CLIENTS)))
            winners = [str(name).encode() for name in found if name is not None]
            assert winners == [await asyncio.to_thread(s3_store.get, key)]
