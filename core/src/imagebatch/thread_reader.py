"""From the event loop to a blocking reader: chunks that arrive are read in a worker thread, a few at a time.

The reader runs to its end, or fails, before the block that opened it is left; and it never takes
a stream that broke off for one that ended.
"""

import asyncio
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

import anyio
from anyio import from_thread, to_thread

from imagebatch.errors import ImageBatchError

BLOCK_BYTES = 64 * 1024
DEPTH = 4
"""How many blocks wait at most: beyond them, `feed` waits, and so does whoever sends."""

R = TypeVar("R")


class BrokenOffError(ImageBatchError):
    """The stream broke off before its end; raised in the reader, never outside."""


class ThreadReader(Generic[R]):
    """One reader and the chunks for it. An async context manager; leaving it early breaks the reader off."""

    def __init__(self, limiter: anyio.CapacityLimiter) -> None:
        self._limiter = limiter
        self._send, self._receive = anyio.create_memory_object_stream[bytes | None](DEPTH)
        self._pending = bytearray()
        self._task: asyncio.Task[R] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._send.close()
        if self._task is None:
            self._receive.close()
            return
        with anyio.CancelScope(shield=True):
            await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.exception()  # seen: it was raised by `feed` or `finish`, or nobody asks any more

    def start(self, read: Callable[[Iterator[bytes]], R]) -> None:
        """Let `read` run in a thread over the chunks to come."""
        self._task = asyncio.create_task(self._run(read))

    async def feed(self, chunk: bytes) -> None:
        """Pass a chunk on, once there is room. Raises what the reader raised if that has failed."""
        self._pending += chunk
        if len(self._pending) >= BLOCK_BYTES:
            await self._flush()

    async def finish(self) -> R:
        """Let the reader know that this was all; returns its result, or raises what it raised."""
        assert self._task is not None
        await self._flush()
        await self._pass(None)
        return await asyncio.shield(self._task)

    async def _flush(self) -> None:
        block, self._pending = bytes(self._pending), bytearray()
        if block:
            await self._pass(block)

    async def _pass(self, block: bytes | None) -> None:
        assert self._task is not None
        try:
            await self._send.send(block)
        except anyio.BrokenResourceError:
            await asyncio.shield(self._task)

    async def _run(self, read: Callable[[Iterator[bytes]], R]) -> R:
        with self._receive:
            return await to_thread.run_sync(read, self._chunks(), limiter=self._limiter)

    def _chunks(self) -> Iterator[bytes]:
        """The chunks, in the reader's thread."""
        while (block := self._next()) is not None:
            yield block

    def _next(self) -> bytes | None:
        try:
            return from_thread.run(self._receive.receive)
        except BaseException as error:  # a cancellation must reach the reader as an error it cleans up after
            raise BrokenOffError("the upload broke off") from error
