"""The object store on an event loop: its blocking calls run in threads, a bounded number at once."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from imagebatch.errors import StoreError
from imagebatch.storage.store import ObjectStore
from imagebatch.storage.store_id import StoreId

REQUESTS = 16
ANSWER_S = 30.0
"""Longer than a small object takes with retries, while S3 answers. For one that hangs nobody waits longer."""

R = TypeVar("R")


class AsyncStore:
    """`blocking` is the store itself, for who is in a thread already."""

    def __init__(self, store: ObjectStore, requests: int = REQUESTS) -> None:
        self.blocking = store
        self._room = asyncio.Semaphore(requests)
        self._store_id = StoreId(store)

    async def run(self, call: Callable[[ObjectStore], R]) -> R:
        """Call with the store. Raises StoreError too when there is no answer in time."""
        try:
            async with self._room, asyncio.timeout(ANSWER_S):
                return await asyncio.to_thread(call, self.blocking)
        except TimeoutError:
            raise StoreError(f"S3: no answer within {ANSWER_S:g} s") from None

    async def store_id(self) -> str:
        """The store's id; asked for once. Raises StoreError."""
        return self._store_id.known or await self.run(lambda _: self._store_id.get())
