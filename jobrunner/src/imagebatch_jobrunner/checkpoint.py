"""Writing down what a shard has stored, so that its next run does not do it again after a kill.

Used by `shard_run`. A part that can't be written waits for the next one: the shard goes on.
"""

import asyncio
from contextlib import suppress
from typing import Self

import structlog

from imagebatch.batch import checkpoint
from imagebatch.batch.shard import ShardId
from imagebatch.errors import StoreError
from imagebatch.outcome import ImageOutcome
from imagebatch_jobrunner.store_threads import StoreThreads

FLUSH_S = 5.0
"""After so long, a slow shard's images are written down though they are few."""

LAST_FLUSH_S = 2.0
"""How long the last part may take at a stop: less than the patience of `stopping`."""

log = structlog.get_logger()


class CheckpointWriter:
    """Collects stored images and writes them in parts: an async context manager.

    It writes the rest when the block is left by an error or a stop. Behind a shard that is done no rest is
    needed: the report follows.
    """

    def __init__(self, store: StoreThreads, shard: ShardId, images: int, number: int) -> None:
        """The first part gets `number`, or a later one that is free."""
        self._store = store
        self._shard = shard
        self._size = checkpoint.images_of_part(images)
        self._number = number
        self._pending: list[ImageOutcome] = []
        self._writing = asyncio.Lock()
        self._later: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if self._later is not None:
            self._later.cancel()
            await asyncio.wait([self._later])
        if kind is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_FLUSH_S):
                    await self._write()

    async def add(self, outcome: ImageOutcome) -> None:
        """Take an image that is stored."""
        self._pending.append(outcome)
        if len(self._pending) >= self._size:
            await self._write()
        elif self._later is None or self._later.done():
            self._later = asyncio.create_task(self._write_later())

    async def _write_later(self) -> None:
        await asyncio.sleep(FLUSH_S)
        await self._write()

    async def _write(self) -> None:
        async with self._writing:
            taken, self._pending = self._pending, []
            if not taken:
                return
            try:
                number = await self._store.run(
                    lambda its: checkpoint.write(its, self._shard, self._number, taken)
                )
            except StoreError as error:
                log.warning("checkpoint not written", reason=str(error))
                self._pending = [*taken, *self._pending]
            except asyncio.CancelledError:
                self._pending = [*taken, *self._pending]
                raise
            else:
                self._number = number + 1
