"""The id of an object store: a random word in an object of its own, made by the first program that asks.

It tells one store from another whatever they are called: the same bucket may be reached under several
endpoints, and an embedded S3 may get another port at each start.

Who asks for it also learns whether the store keeps to `If-None-Match: *`, without which the first report of a
shard would not be the one that counts. Some stores that speak S3 overwrite in silence.
"""

import uuid

from imagebatch.errors import AlreadyExistsError, NotFoundError, StoreError
from imagebatch.storage import keys
from imagebatch.storage.store import Media, ShardStore

MEDIA = Media("text/plain")


class StoreId:
    """The id of one store, asked for once; `known` is empty before, and where conditions are ignored."""

    def __init__(self, store: ShardStore) -> None:
        self._store = store
        self.known = ""

    def get(self) -> str:
        """Blocks. Raises StoreError, also when the store ignores conditions."""
        if self.known:
            return self.known
        found = self._read() or self._make()
        if self._keeps_conditions(found):
            self.known = found
        return found

    def _read(self) -> str:
        try:
            return self._store.get(keys.STORE_ID).decode()
        except NotFoundError:
            return ""

    def _keeps_conditions(self, found: str) -> bool:
        """Whether it refuses to write what is there; False as long as it does not answer that."""
        try:
            self._store.put(keys.STORE_ID, found.encode(), MEDIA, only_if_absent=True)
        except AlreadyExistsError:
            return True
        except StoreError:
            return False
        raise StoreError(
            "S3 overwrites objects in spite of If-None-Match: *; ImageBatch needs one that keeps to "
            "conditional writes, as AWS does"
        )

    def _make(self) -> str:
        fresh = uuid.uuid4().hex
        try:
            self._store.put(keys.STORE_ID, fresh.encode(), MEDIA, only_if_absent=True)
        except AlreadyExistsError:
            return self._read()
        return fresh
