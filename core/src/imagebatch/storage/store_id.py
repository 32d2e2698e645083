"""The id of an object store: a random word in an object of its own, made by the first program that asks.

It tells one store from another whatever they are called: the same bucket may be reached under several
endpoints, and an embedded S3 may get another port at each start.
"""

import uuid

from imagebatch.errors import AlreadyExistsError, NotFoundError
from imagebatch.storage import keys
from imagebatch.storage.store import Media, ShardStore


class StoreId:
    """The id of one store, asked for once; `known` is empty before."""

    def __init__(self, store: ShardStore) -> None:
        self._store = store
        self.known = ""

    def get(self) -> str:
        """Blocks. Raises StoreError."""
        if not self.known:
            self.known = self._read() or self._make()
        return self.known

    def _read(self) -> str:
        try:
            return self._store.get(keys.STORE_ID).decode()
        except NotFoundError:
            return ""

    def _make(self) -> str:
        fresh = uuid.uuid4().hex
        try:
            self._store.put(keys.STORE_ID, fresh.encode(), Media("text/plain"), only_if_absent=True)
        except AlreadyExistsError:
            return self._read()
        return fresh
