"""What is known of the shards of one attempt from what they left on S3: the plan, reports, progress.

The plan and a report never change once written, so each is read once. A driver that starts lists and reads
all of them.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from imagebatch.batch import shard
from imagebatch.batch.lifecycle import Waiting
from imagebatch.batch.plan import Plan
from imagebatch.batch.shard import Progress, ShardId
from imagebatch.errors import NotFoundError, StoreError
from imagebatch.outcome import Counts
from imagebatch.storage import keys
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.store import ObjectStore

MAX_PROGRESS_READS = 50
"""In one look. When more shards run, those that have done least come first."""

LOOK_GAP_S = 2.0
"""A look sooner after the last one reads nothing: the events of many pods cause many looks."""


@dataclass(frozen=True, slots=True)
class ImageTally:
    """What is known of the images of a batch's attempt. `seconds` are sums by stage, over all images."""

    counts: Counts = Counts()
    errors: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class ShardReports:
    """The reports of an attempt that have been read. `last_done` is when the last shard was done."""

    request_id: str
    attempt: int
    plan_key: str
    plan: Plan | None = None
    done: dict[int, Counts] = field(default_factory=dict)
    last_done: datetime = datetime.min.replace(tzinfo=UTC)
    _errors: dict[int, Mapping[str, int]] = field(default_factory=dict)
    _seconds: Counter[str] = field(default_factory=Counter)
    _under_way: dict[int, Progress] = field(default_factory=dict)
    _asked_after: dict[int, str] = field(default_factory=dict)
    _trouble: Waiting | None = None
    _is_listed: bool = False
    _looked_s: float = -LOOK_GAP_S

    def forget(self) -> None:
        """Hold nothing any more; what is asked for again is read again."""
        self.plan, self._is_listed = None, False
        for known in (self.done, self._errors, self._seconds, self._under_way, self._asked_after):
            known.clear()

    def counts(self, active: Iterable[int]) -> Counts:
        """Of the shards done and, as far as their progress is known, of those that run."""
        running = (self._under_way[index].counts for index in active if index in self._under_way)
        return sum([*self.done.values(), *running], Counts())

    def errors(self, active: Iterable[int]) -> dict[str, int]:
        """The same shards' failed images by error code, the most frequent first."""
        running = (self._under_way[index].errors for index in active if index in self._under_way)
        return dict(sum(map(Counter, [*self._errors.values(), *running]), Counter[str]()).most_common())

    def tally(self) -> ImageTally:
        """Of the shards done."""
        return ImageTally(self.counts(()), self.errors(()), dict(self._seconds))

    def waiting(self, active: Iterable[int]) -> Waiting | None:
        """Why running shards wait, as far as one of them says so, or why they can't be asked."""
        said = (self._under_way[index].waiting for index in active if index in self._under_way)
        return self._trouble or next(filter(None, said), None)

    async def load(self, store: AsyncStore) -> Plan | None:
        """The batch's plan, with the reports that are there read; None while it has no plan."""
        if self.plan is None:
            self.plan = await store.run(self._read_plan)
        if self.plan is not None and not self._is_listed:
            await self._read_all(store, len(self.plan.shards))
        return self.plan

    def _read_plan(self, store: ObjectStore) -> Plan | None:
        try:
            return Plan.from_json(store.get(self.plan_key))
        except NotFoundError:
            return None

    async def _read_all(self, store: AsyncStore, shards: int) -> None:
        prefix = keys.attempt_prefix(self.request_id, self.attempt)
        listed = await store.run(lambda its: [stored.key for stored in its.list(prefix)])
        found = (keys.shard_of_report(key) for key in listed)
        await self._read([index for index in found if index is not None], store)
        if self.attempt > 1:
            await self._carry_forward([index for index in range(shards) if index not in self.done], store)
        self._is_listed = True

    async def _carry_forward(self, indexes: list[int], store: AsyncStore) -> None:
        """Take over what an earlier attempt did without a failure."""

        async def carry(index: int) -> None:
            which = ShardId(self.request_id, self.attempt, index)
            await store.run(lambda its: shard.carry_forward(its, which))

        await asyncio.gather(*(carry(index) for index in indexes))
        await self._read(indexes, store)

    async def read_ended(self, ended: Mapping[int, str], store: AsyncStore) -> None:
        """Read the reports of shards whose run is over; once after each run, which `ended` names."""
        news = {index: run for index, run in ended.items() if self._asked_after.get(index) != run}
        await self._read(news, store)
        self._asked_after |= news

    async def _read(self, indexes: Iterable[int], store: AsyncStore) -> None:
        await asyncio.gather(*(self._read_one(index, store) for index in indexes if index not in self.done))

    async def _read_one(self, index: int, store: AsyncStore) -> None:
        which = ShardId(self.request_id, self.attempt, index)
        report = await store.run(lambda its: shard.read_report(its, which))
        if report is not None:
            self.done[index] = report.counts
            self._errors[index] = report.errors
            self._seconds.update(report.seconds)
            self._under_way.pop(index, None)
            self.last_done = max(self.last_done, datetime.fromtimestamp(report.finished_at, UTC))

    async def look(self, active: Iterable[int], store: AsyncStore) -> None:
        """Read how far running shards are: at most `MAX_PROGRESS_READS`, those that have done least first."""
        if time.monotonic() - self._looked_s < LOOK_GAP_S:
            return
        self._looked_s = time.monotonic()
        self._trouble = None
        wanted = sorted((index for index in active if index not in self.done), key=self._done_so_far)
        await asyncio.gather(*(self._look(index, store) for index in wanted[:MAX_PROGRESS_READS]))

    def _done_so_far(self, index: int) -> int:
        progress = self._under_way.get(index)
        return -1 if progress is None else progress.counts.done

    async def _look(self, index: int, store: AsyncStore) -> None:
        key = keys.progress(self.request_id, self.attempt, index)
        try:
            data = await store.run(lambda its: its.get(key))
        except NotFoundError:
            return  # it has just begun
        except StoreError as error:
            self._trouble = Waiting(error.reason, str(error))
            return
        with suppress(ValueError, KeyError, TypeError):  # a hint: of no consequence
            self._under_way[index] = Progress.from_json(data)
