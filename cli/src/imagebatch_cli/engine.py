"""The local engine: carries out the lifecycle's steps with processes of this machine.

One task drives each pending request: observe, decide (`imagebatch.lifecycle`), act, wait for a change.
All that must survive a crash is in the records and on S3, so a new engine simply begins again.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self

import structlog

from imagebatch import keys, lifecycle
from imagebatch.batches import BatchSpec
from imagebatch.ending import commit
from imagebatch.errors import NotFoundError, Problem, RecordsError, StoreError
from imagebatch.lifecycle import Ending, Observed, Phase, ShardHistory, Waiting
from imagebatch.merge import Merged, merge
from imagebatch.outcome import Counts
from imagebatch.plan import Plan
from imagebatch.records import Records, Request
from imagebatch.shard import Progress, Report, ShardId
from imagebatch.store import ObjectStore
from imagebatch_cli.shards import ShardEnd, ShardProcesses, ShardWork

TICK_S = 0.5
SCAN_S = 15.0
TROUBLE_S = 5.0
COUNTS_GAP_S = 2.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Collaborators:
    """What an engine works with. `promised` is called after a terminal commit that owes a webhook."""

    records: Records
    store: ObjectStore
    shards: ShardProcesses
    promised: Callable[[], None]


class LocalEngine:
    """Runs every pending request of the records."""

    def __init__(self, collaborators: Collaborators) -> None:
        self._with = collaborators
        self._driven: dict[str, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()

    def wake(self, request_id: str) -> None:  # noqa: ARG002 - a Wake; the scan finds it
        """Look for new requests now."""
        self._woken.set()

    async def run(self) -> None:
        """Drive requests until cancelled; then every jobrunner is stopped before this returns."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._woken.clear()
                for request in await self._pending():
                    if request.request_id not in self._driven:
                        task = group.create_task(self._drive(request))
                        self._driven[request.request_id] = task
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), SCAN_S)

    async def _pending(self) -> list[Request]:
        try:
            return await self._with.records.pending()
        except RecordsError as error:
            log.warning("records unreachable", error=str(error))
            return []

    async def _drive(self, request: Request) -> None:
        """Bring one request to its end, beginning again after any defect: it must not stop the others."""
        bound = log.bind(request_id=request.request_id)
        try:
            while True:
                try:
                    async with Run(self._with, request) as run:
                        return await run.to_end()
                except Exception:  # noqa: BLE001 - one batch must not stop the others
                    bound.exception("batch waits after a defect")
                await asyncio.sleep(TROUBLE_S)
        finally:
            del self._driven[request.request_id]


@dataclass(slots=True)
class _Shards:
    """What is known of a batch's shards. `trouble` is how the last one ended that ended badly."""

    reports: dict[int, Counts] = field(default_factory=dict)
    progress: dict[int, Counts] = field(default_factory=dict)
    tasks: dict[int, asyncio.Task[None]] = field(default_factory=dict)
    histories: dict[int, ShardHistory] = field(default_factory=dict)
    due: dict[int, float] = field(default_factory=dict)
    trouble: Waiting | None = None

    def counts(self, total: int) -> Counts:
        """Of the shards done and, as far as they tell, of those under way."""
        under_way = (self.progress[index] for index in self.tasks if index in self.progress)
        return replace(sum([*self.reports.values(), *under_way], Counts()), total=total)


@dataclass(frozen=True, slots=True)
class _Told:
    """What the row says of the batch, and since when."""

    phase: Phase
    counts: Counts
    waiting: Waiting | None
    at: float


class Run:
    """One request on its way, as an async context: leaving it stops its shards.

    What goes wrong between the engine, S3 and Postgres ends no shard: the engine waits, and looks again.
    """

    def __init__(self, collaborators: Collaborators, request: Request) -> None:
        self._with = collaborators
        self._request = request
        self._spec = BatchSpec.from_spec(request.spec)
        self._plan: Plan | None = None
        self._is_loaded = False
        self._refusal: tuple[Problem, ...] = ()
        self._shards = _Shards()
        self._phase = request.phase
        self._started = time.time() if request.started_at is None else request.started_at.timestamp()
        self._told: _Told | None = None
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop_shards()

    async def to_end(self) -> None:
        """Step by step until the terminal commit."""
        while not self._phase.is_terminal:
            try:
                await self._step()
            except (StoreError, RecordsError) as error:
                log.warning("batch waits", request_id=self._request.request_id, error=str(error))
                await self._wait_out(lifecycle.waiting_for(error))

    async def _step(self) -> None:
        if not self._is_loaded:
            await self._load()
        step = lifecycle.next_step(self._spec.wish, self._observed())
        match step:
            case lifecycle.Done():
                return
            case lifecycle.Plan():
                self._refusal = (Problem("input_lost", "the batch's plan is no longer on S3"),)
            case lifecycle.Run(start):
                self._start(start)
                await self._tick()
            case lifecycle.Stop():
                await self._stop_shards()
                await self._tick()
            case lifecycle.Merge():
                await self._merge(step)
            case lifecycle.Finish(ending):
                await self._commit(ending, None)

    async def _wait_out(self, waiting: Waiting) -> None:
        with contextlib.suppress(RecordsError):
            await self._tell(self._phase, waiting)
        await asyncio.sleep(TROUBLE_S)

    # -- observing -----------------------------------------------------------------------------------

    async def _load(self) -> None:
        """Read the plan and the reports that earlier runs left."""
        store, request = self._with.store, self._request
        try:
            data = await asyncio.to_thread(store.get, self._plan_key)
        except NotFoundError:
            self._is_loaded = True
            return
        self._plan = Plan.from_json(data)
        prefix = keys.attempt_prefix(request.request_id, request.attempt)
        listed = await asyncio.to_thread(lambda: list(store.list(prefix)))
        reported = [keys.shard_of_report(stored.key) for stored in listed]
        await asyncio.gather(*(self._read_report(index) for index in reported if index is not None))
        self._is_loaded = True

    @property
    def _plan_key(self) -> str:
        return keys.plan(self._request.request_id, self._request.upload)

    async def _read_report(self, index: int) -> bool:
        key = keys.report(self._request.request_id, self._request.attempt, index)
        try:
            data = await asyncio.to_thread(self._with.store.get, key)
        except NotFoundError:
            return False
        self._shards.reports[index] = Report.from_json(data).counts
        return True

    def _observed(self) -> Observed:
        shards, now = self._shards, time.monotonic()
        defects = [history.defect for history in shards.histories.values() if history.defect]
        return Observed(
            phase=self._phase,
            shards=None if self._plan is None else len(self._plan.shards),
            reported=frozenset(shards.reports),
            active=frozenset(shards.tasks),
            waiting=frozenset(index for index, due in shards.due.items() if due > now),
            given_up=frozenset(index for index, history in shards.histories.items() if history.given_up),
            counts=shards.counts(self._request.counts.total),
            images=self._request.counts.total,
            active_seconds=time.time() - self._started,
            defect=defects[0] if defects else "",
            refusal=self._refusal,
        )

    # -- shards --------------------------------------------------------------------------------------

    def _start(self, indexes: tuple[int, ...]) -> None:
        for index in indexes:
            self._shards.tasks[index] = asyncio.create_task(self._run_shard(index))

    async def _run_shard(self, index: int) -> None:
        shard = ShardId(self._request.request_id, self._request.attempt, index)
        work = ShardWork(compression=self._spec.compression, plan_key=self._plan_key)
        try:
            end = await self._with.shards.run(shard, work)
            if await self._is_reported(index):
                self._shards.trouble = None
            else:
                self._ended_badly(shard, end)
        finally:
            del self._shards.tasks[index]
            self._changed.set()

    async def _is_reported(self, index: int) -> bool:
        """Whether the shard has reported; asked until S3 knows, or a shard that is done would run again."""
        while True:
            try:
                return await self._read_report(index)
            except StoreError as error:
                log.warning("report not read", request_id=self._request.request_id, error=str(error))
                self._shards.trouble = lifecycle.waiting_for(error)
            await asyncio.sleep(TROUBLE_S)

    def _ended_badly(self, shard: ShardId, end: ShardEnd) -> None:
        shards, index = self._shards, shard.index
        log.warning("shard ended", request_id=shard.request_id, shard=index, code=end.code, reason=end.reason)
        shards.trouble = lifecycle.trouble_of(end.code, end.reason)
        history = lifecycle.after_end(shards.histories.get(index, ShardHistory()), end.code, end.reason)
        shards.histories[index] = history
        shards.due[index] = time.monotonic() + lifecycle.backoff_seconds(history)

    async def _stop_shards(self) -> None:
        tasks = list(self._shards.tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tick(self) -> None:
        """Wait for a shard's end, at most a tick, then record how far the batch is."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), TICK_S)
        self._changed.clear()
        await asyncio.gather(*(self._read_progress(index) for index in list(self._shards.tasks)))
        await self._tell(Phase.RUNNING, self._shards.trouble)

    async def _read_progress(self, index: int) -> None:
        """A hint: that it can't be read, or not understood, is of no consequence."""
        key = keys.progress(self._request.request_id, self._request.attempt, index)
        with contextlib.suppress(StoreError, ValueError, KeyError, TypeError):
            data = await asyncio.to_thread(self._with.store.get, key)
            self._shards.progress[index] = Progress.from_json(data).counts

    async def _tell(self, phase: Phase, waiting: Waiting | None = None) -> None:
        """Record a change in the row: of the phase or the waiting at once, of counts now and then."""
        counts, now = self._shards.counts(self._request.counts.total), time.monotonic()
        told = self._told
        is_same = told is not None and (told.phase, told.waiting) == (phase, waiting)
        if told is not None and is_same and (told.counts == counts or now - told.at < COUNTS_GAP_S):
            return
        progress = f"{counts.done} of {self._request.counts.total} images"
        message = "Merging" if phase is Phase.MERGING else progress
        await self._with.records.progress(self._request, phase, message, counts, waiting)
        self._phase, self._told = phase, _Told(phase, counts, waiting, now)

    # -- the end -------------------------------------------------------------------------------------

    async def _merge(self, step: lifecycle.Merge) -> None:
        await self._stop_shards()
        await self._tell(Phase.MERGING)
        request, plan = self._request, self._plan
        assert plan is not None
        try:
            merged = await asyncio.to_thread(
                merge, self._with.store, request.request_id, request.attempt, plan, not_tried=step.not_tried
            )
        except NotFoundError as error:
            await self._commit(lifecycle.input_lost(str(error)), None)
        else:
            ending = lifecycle.conclude(self._spec.wish, merged.counts, merged.errors, step.reason)
            await self._commit(ending, merged)

    async def _commit(self, ending: Ending, merged: Merged | None) -> None:
        owes_webhook = await commit(self._with.records, self._with.store, self._request, ending, merged)
        self._phase = ending.phase
        if owes_webhook:
            self._with.promised()
