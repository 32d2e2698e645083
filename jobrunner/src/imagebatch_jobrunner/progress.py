"""Writing how far a shard is, seldom enough that S3 does not mind.

Used by `shard_run`. Progress is a hint: if it can't be written, the shard goes on.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import structlog

from imagebatch.batch.shard import Progress, ShardId
from imagebatch.errors import StoreError
from imagebatch.outcome import Counts, ImageOutcome
from imagebatch.storage import keys
from imagebatch.storage.store import JSON
from imagebatch_jobrunner.store_threads import StoreThreads

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """At most one progress object each `seconds` and each `images`, whichever takes longer."""

    seconds: float = 5.0
    images: int = 25
    clock: Callable[[], float] = time.monotonic


class ProgressWriter:
    """Counts outcomes and writes the counts now and then: an async context manager.

    What may not be written yet is written when its time has come, though no further image ends until then.
    """

    def __init__(self, store: StoreThreads, shard: ShardId, run: str, pace: Pace) -> None:
        self._store = store
        self._key = keys.progress(shard.request_id, shard.attempt, shard.index)
        self._run = run
        self._pace = pace
        self._written_at = pace.clock()
        self._written_total = 0
        self._later: asyncio.Task[None] | None = None
        self.counts = Counts()
        self._errors: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self._store.pace.refused = self._write_soon
        return self

    async def __aexit__(self, *_: object) -> None:
        self._store.pace.refused = lambda: None
        if self._later is not None:
            self._later.cancel()
            await asyncio.wait([self._later])

    async def begin(self) -> None:
        """Store how far the shard is before it goes on: what can't be stored need not be downloaded.

        Raises StoreError when S3 refuses that for long.
        """
        await self._store.put_patiently(self._key, self._progress().to_json(), JSON)

    def _write_soon(self) -> None:
        """Say that S3 refuses, though no image may end for long."""
        if self._later is None:
            wait_s = max(self._written_at + self._pace.seconds - self._pace.clock(), 0.0)
            self._later = asyncio.create_task(self._write_after(wait_s))

    async def add(self, outcome: ImageOutcome) -> None:
        self.counts = self.counts.with_outcome(outcome)
        if outcome.error is not None:
            self._errors[outcome.error] += 1
        if self._later is not None or self.counts.total - self._written_total < self._pace.images:
            return
        wait_s = self._written_at + self._pace.seconds - self._pace.clock()
        if wait_s <= 0:
            await self._write()
        else:
            self._later = asyncio.create_task(self._write_after(wait_s))

    async def _write_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._later = None
        await self._write()

    async def _write(self) -> None:
        self._written_at = self._pace.clock()
        self._written_total = self.counts.total
        try:
            await self._store.put(self._key, self._progress().to_json(), JSON)
        except StoreError as error:
            log.warning("progress not written", reason=str(error))

    def _progress(self) -> Progress:
        return Progress(self._run, self.counts, self._store.pace.waiting, dict(self._errors))
