"""The object store from an event loop: its blocking calls run in threads of their own.

Puts go straight from the loop where the store has a way for that, and by a thread only when it did not work.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import structlog

from imagebatch.errors import StoreError
from imagebatch.storage.store import Media, ShardStore
from imagebatch_jobrunner.store_pace import LASTING, PATIENCE_S, StorePace, pauses

log = structlog.get_logger()

P = ParamSpec("P")
R = TypeVar("R")


PutDirectly = Callable[[str, bytes, Media], Awaitable[bool]]
"""Puts an object without a thread; False when it may not be stored: then the store puts it."""


class StoreThreads:
    """`async with StoreThreads(store, threads=16)`: at most `threads` calls at once."""

    def __init__(
        self,
        store: ShardStore,
        *,
        threads: int,
        put_directly: PutDirectly | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._store = store
        self._put_directly = put_directly
        self._patience_s = patience_s
        self.pace = StorePace(threads)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error nobody waits for calls under way: they may take as long as their time-outs.
        self._threads.shutdown(wait=error is None, cancel_futures=True)

    async def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run something that uses the store."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: function(*args, **kwargs))

    async def run(self, function: Callable[[ShardStore], R]) -> R:
        return await self.call(function, self._store)

    async def get(self, key: str) -> bytes:
        return await self.call(self._store.get, key)

    async def put(self, key: str, data: bytes, media: Media) -> None:
        """Put an object once."""
        if self._put_directly is None or not await self._put_directly(key, data, media):
            await self.call(self._store.put, key, data, media)

    async def put_patiently(self, key: str, data: bytes, media: Media) -> None:
        """Put an object, and again as long as S3 refuses it for now. Raises StoreError at last."""
        await self.patiently(key, lambda: self.put(key, data, media))

    async def patiently(self, what: str, store: Callable[[], Awaitable[R]]) -> R:
        """Store something, and again as long as S3 refuses it for now. Raises StoreError at last."""
        deadline = asyncio.get_running_loop().time() + self._patience_s
        for pause in pauses():
            try:
                async with self.pace.turn():
                    return await store()
            except StoreError as error:
                if isinstance(error, LASTING) or asyncio.get_running_loop().time() + pause > deadline:
                    raise
                log.warning("put refused", what=what, reason=str(error), next_try_seconds=round(pause, 1))
            await asyncio.sleep(pause)
        raise AssertionError("pauses do not end")
