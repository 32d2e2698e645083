"""Telling how far a shard is, seldom enough that S3 does not mind.

Used by `process`. Progress is a hint: if it can't be written, the shard goes on.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from imagebatch import keys
from imagebatch.errors import StoreError
from imagebatch.outcome import Counts, ImageOutcome
from imagebatch.shard import Progress, ShardId
from imagebatch.store import JSON
from imagebatch_jobrunner.async_store import AsyncStore

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """At most one progress object each `seconds` and each `images`, whichever takes longer."""

    seconds: float = 5.0
    images: int = 25
    clock: Callable[[], float] = time.monotonic


class ProgressWriter:
    """Counts outcomes and writes the counts now and then."""

    def __init__(self, store: AsyncStore, shard: ShardId, run: str, pace: Pace) -> None:
        self._store = store
        self._key = keys.progress(shard.request_id, shard.attempt, shard.index)
        self._run = run
        self._pace = pace
        self._written_at = pace.clock()
        self._written_total = 0
        self.counts = Counts()

    async def add(self, outcome: ImageOutcome) -> None:
        self.counts = self.counts.with_outcome(outcome)
        if self._is_due():
            self._written_at = self._pace.clock()
            self._written_total = self.counts.total
            await self._write()

    def _is_due(self) -> bool:
        return (
            self.counts.total - self._written_total >= self._pace.images
            and self._pace.clock() - self._written_at >= self._pace.seconds
        )

    async def _write(self) -> None:
        try:
            await self._store.put(self._key, Progress(self._run, self.counts).to_json(), JSON)
        except StoreError as error:
            log.warning("progress not written", reason=str(error))
