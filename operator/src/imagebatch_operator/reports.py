"""What the shards of one attempt have told on S3, remembered between reconciles.

The plan and a report never change once written, so each is read once. After a restart of the operator all
of them are listed and read again.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from imagebatch import keys, shard
from imagebatch.errors import NotFoundError, StoreError
from imagebatch.outcome import Counts
from imagebatch.plan import Plan
from imagebatch.shard import Progress, ShardId
from imagebatch.store import ObjectStore

REQUESTS = 16
ANSWER_S = 30.0
MAX_PROGRESS_READS = 50
LOOK_GAP_S = 2.0

R = TypeVar("R")


class AsyncStore:
    """The store on the event loop: calls run in threads, a bounded number at once."""

    def __init__(self, store: ObjectStore, requests: int = REQUESTS) -> None:
        self.blocking = store
        self._room = asyncio.Semaphore(requests)

    async def run(self, call: Callable[[ObjectStore], R]) -> R:
        """Raises StoreError too when there is no answer in time: whoever reconciles waits for nobody."""
        try:
            async with self._room, asyncio.timeout(ANSWER_S):
                return await asyncio.to_thread(call, self.blocking)
        except TimeoutError:
            raise StoreError(f"S3: no answer within {ANSWER_S:g} s") from None


@dataclass(slots=True)
class Reports:
    """The reports of an attempt, as far as they have been read."""

    request_id: str
    attempt: int
    plan_key: str
    plan: Plan | None = None
    done: dict[int, Counts] = field(default_factory=dict)
    under_way: dict[int, Counts] = field(default_factory=dict)
    last_done: datetime = datetime.min.replace(tzinfo=UTC)
    is_listed: bool = False
    looked: float = -LOOK_GAP_S

    def counts(self, running: Iterable[int]) -> Counts:
        """Of the shards done and, as far as they tell, of those that run."""
        told = (self.under_way[index] for index in running if index in self.under_way)
        return sum([*self.done.values(), *told], Counts())

    async def load_plan(self, store: AsyncStore) -> Plan | None:
        """The batch's plan; None while it has none."""
        if self.plan is None:
            self.plan = await store.run(self._plan)
        return self.plan

    def _plan(self, store: ObjectStore) -> Plan | None:
        try:
            return Plan.from_json(store.get(self.plan_key))
        except NotFoundError:
            return None

    async def list_all(self, store: AsyncStore) -> None:
        """Read every report that there is."""
        prefix = keys.attempt_prefix(self.request_id, self.attempt)
        listed = await store.run(lambda its: [stored.key for stored in its.list(prefix)])
        found = (keys.shard_of_report(key) for key in listed)
        await self.read(store, [index for index in found if index is not None])
        self.is_listed = True

    async def read(self, store: AsyncStore, indexes: Iterable[int]) -> None:
        """Read the reports of these shards, where they exist and are not known."""
        wanted = [index for index in indexes if index not in self.done]
        await asyncio.gather(*(self._read(store, index) for index in wanted))

    async def _read(self, store: AsyncStore, index: int) -> None:
        which = ShardId(self.request_id, self.attempt, index)
        report = await store.run(lambda its: shard.read_report(its, which))
        if report is not None:
            self.done[index] = report.counts
            self.under_way.pop(index, None)
            finished = datetime.fromtimestamp(report.finished_at, UTC)
            self.last_done = max(self.last_done, finished)

    async def look(self, store: AsyncStore, running: Iterable[int]) -> None:
        """Read how far the running shards are; of very many, those that were not read yet come first.

        Calls that follow each other closely, as events of many pods bring them, read nothing.
        """
        if time.monotonic() - self.looked < LOOK_GAP_S:
            return
        self.looked = time.monotonic()
        wanted = sorted((index for index in running if index not in self.done), key=self._looked_at)
        await asyncio.gather(*(self._look(store, index) for index in wanted[:MAX_PROGRESS_READS]))

    def _looked_at(self, index: int) -> int:
        counts = self.under_way.get(index)
        return -1 if counts is None else counts.done

    async def _look(self, store: AsyncStore, index: int) -> None:
        key = keys.progress(self.request_id, self.attempt, index)
        with suppress(StoreError, ValueError, KeyError, TypeError):  # a hint: of no consequence
            data = await store.run(lambda its: its.get(key))
            self.under_way[index] = Progress.from_json(data).counts

    async def carry_forward(self, store: AsyncStore) -> None:
        """Take over what an earlier attempt did without a failure."""
        assert self.plan is not None
        if self.attempt == 1:
            return
        open_shards = [index for index in range(len(self.plan.shards)) if index not in self.done]

        async def carry(index: int) -> None:
            which = ShardId(self.request_id, self.attempt, index)
            await store.run(lambda its: shard.carry_forward(its, which))

        await asyncio.gather(*(carry(index) for index in open_shards))
        await self.read(store, open_shards)
