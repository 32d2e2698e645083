"""The driver of one attempt at a batch: observe, decide, carry out, show.

It looks at what is there now, on S3, in the row and with the executor, and does the one step that
`lifecycle.next_step` names. What it remembers can be found again or done again, so a crash at any point, or
a second driver by mistake, costs time and nothing else.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from imagebatch.batch import lifecycle, waits
from imagebatch.batch.background import BackgroundTask, R, in_thread
from imagebatch.batch.executor import Executor, ShardCounts, ShardRuns
from imagebatch.batch.finish import commit
from imagebatch.batch.known_row import KnownRow, RowChangedError
from imagebatch.batch.lifecycle import Desired, Ending, Observed, Phase, Waiting
from imagebatch.batch.services import Services
from imagebatch.batch.shard_reports import ShardReports
from imagebatch.batch.spec import BatchSpec
from imagebatch.batch.store_probe import StoreProbe
from imagebatch.batch.work_queue import Key
from imagebatch.csv.ingest import Ingested
from imagebatch.csv.merge import Merged, merge
from imagebatch.errors import AlreadyExistsError, InputRefusedError, NotFoundError, UnavailableError
from imagebatch.metrics import BatchTally
from imagebatch.records import Request
from imagebatch.storage import keys

SOON_S = 1.0
SUSPENDED_LOOK_S = 300.0
BACKGROUND_LOOK_S = 30.0
"""A background task marks its batch when it is over; this is for a mark that was lost."""


class BatchDriver:
    """Advances one attempt by a step a call. The caller renews `row` when `row.is_known` is False."""

    def __init__(self, services: Services, executor: Executor, key: Key, request: Request) -> None:
        self._with = services
        self._executor = executor
        self._key = key
        plan_key = keys.plan(request.request_id, request.upload)
        self._reports = ShardReports(request.request_id, request.attempt, plan_key)
        self._probe = StoreProbe(keys.probe(request.request_id, request.attempt))
        self._runs = ShardRuns()
        self._tally = BatchTally(services.metrics)
        services.metrics.watch_driver(self)
        self._reading: BackgroundTask[Ingested] | None = None
        self._merging: BackgroundTask[Merged] | None = None
        self._merged_step = lifecycle.Merge()
        self._refusal: InputRefusedError | None = None
        self._input_sha256 = request.input_sha256
        self.row = KnownRow(services.records, request)

    async def advance(self, spec: Mapping[str, Any]) -> float:
        """Take the next step towards what `spec` wants, unless the request is at its end.

        Returns in how many seconds to look again at the latest; 0 means at once. Raises UnavailableError,
        after it has shown why the batch waits.
        """
        try:
            return await self._step(spec)
        except RowChangedError:
            self.row.distrust()
            return 0.0
        except UnavailableError as error:
            self.row.distrust()  # what was under way when it failed may have been done
            await self._show_trouble(error)
            raise

    def stop_background(self) -> bool:
        """Stop what goes on beside the steps; whether it has stopped."""
        tasks = [task for task in (self._reading, self._merging) if task]
        for task in tasks:
            task.cancel()
        return all(task.is_over for task in tasks)

    def release(self) -> None:
        """Forget what is known of the shards, once the end is shown: objects may stay for months."""
        self._reports.forget()
        self._runs = ShardRuns()

    async def _step(self, spec: Mapping[str, Any]) -> float:
        wanted = self._parse(spec)
        desired = Desired() if self._refusal else wanted.desired
        self.row.request = replace(
            self.row.request,
            suspension=self.row.request.suspension.as_desired(
                is_suspended=desired.suspend, now=self.row.now()
            ),
        )
        step = lifecycle.next_step(desired, await self._observe())
        if not isinstance(step, lifecycle.ReadSource | lifecycle.Merge):
            self.stop_background()
            self._reading = self._merging = None
        match step:
            case lifecycle.ReadSource():
                return await self._read_source()
            case lifecycle.RunShards(shards):
                return await self._run(shards, wanted)
            case lifecycle.Suspend():
                return await self._suspend()
            case lifecycle.Merge():
                return await self._merge(step, desired)
            case lifecycle.Finish(ending):
                return await self._commit(ending, None)
            case lifecycle.Done():
                return 0.0

    def _parse(self, spec: Mapping[str, Any]) -> BatchSpec:
        """The spec; one that the domain refuses is kept as the batch's refusal."""
        try:
            return BatchSpec.from_spec(spec)
        except InputRefusedError as error:
            self._refusal = error
            return BatchSpec()

    # -- observing -----------------------------------------------------------------------------------

    async def _observe(self) -> Observed:
        request, reports = self.row.request, self._reports
        if self._refusal is not None:
            return Observed(phase=request.phase, refusal=self._refusal.problems)
        plan = await reports.load(self._with.store)
        if plan is None:
            return Observed(phase=request.phase)
        self._tally.look(reports)
        self._runs = await self._executor.observe()
        await reports.read_ended(self._runs.ended, self._with.store)
        self._tally.look(reports)
        counts, active_s = reports.counts(self._runs.active), request.active_seconds(self.row.now())
        self.row.request = replace(
            request,
            rows=plan.rows,
            counts=replace(request.counts, total=plan.images),
            gain=(gain := request.gain.after(counts.done, active_s)),
            input_sha256=self._input_sha256,
        )
        return Observed(
            phase=request.phase,
            shards=len(plan.shards),
            reported=frozenset(reports.done),
            given_up=self._runs.given_up - reports.done.keys(),
            counts=counts,
            images=plan.images,
            active_seconds=active_s,
            fruitless_seconds=active_s - gain.at_seconds if self._runs.trouble else 0.0,
            trouble=self._runs.trouble,
            defect=self._runs.defect,
        )

    # -- the source ----------------------------------------------------------------------------------

    async def _read_source(self) -> float:
        """Another driver may be at it too: the first plan counts."""
        self.row.request = replace(self.row.request, phase=Phase.PLANNING)
        is_new, reading = self._reading is None, self._reading or self._start_reading()
        self._reading = reading
        if look_s := await self._look_at(reading, self._while_reading, is_new=is_new):
            return look_s
        self._reading = None
        try:
            ingested = reading.result()
        except AlreadyExistsError:
            return 0.0
        except InputRefusedError as error:
            self._refusal = error
            return 0.0
        self._input_sha256 = ingested.sha256
        return 0.0

    async def _look_at(
        self, task: BackgroundTask[R], standing: Callable[[bool], Request], *, is_new: bool
    ) -> float:
        """0 when the task is over; else show how it stands, and return in how many seconds to look again."""
        if is_new:
            await task.wait_a_moment()
        if task.is_over:
            return 0.0
        await self._show(standing(task.is_queued()))
        return SOON_S if is_new else BACKGROUND_LOOK_S

    def _start_reading(self) -> BackgroundTask[Ingested]:
        beside = self._with.background
        room = beside.downloads if self._executor.downloads_source else beside.reads
        return beside.start(self._key, room, self._with.metrics.timed("read", self._executor.read_source))

    def _while_reading(self, is_queued: bool) -> Request:
        """The reason why the last read failed stays visible until the source is read."""
        if is_queued:
            return replace(self.row.request, waiting=waits.SOURCE_QUEUED)
        waiting = self.row.request.waiting
        return replace(
            self.row.request, waiting=None if waiting in {waits.SOURCE_QUEUED, waits.SUSPENDED} else waiting
        )

    # -- the shards ----------------------------------------------------------------------------------

    async def _run(self, shards: frozenset[int], spec: BatchSpec) -> float:
        assert self._reports.plan is not None
        look_s = await self._executor.run(shards, self._reports.plan, spec)
        active, store = self._runs.active, self._with.store
        await self._reports.look(active, store)
        waiting = await self._probe.waiting(self._reports.counts(active), store) if active else None
        waiting = waiting or await self._executor.waiting(self._reports.last_done)
        waiting = waiting or self._reports.waiting(active)
        await self._show(self._standing(Phase.RUNNING, waiting))
        if (deadline_s := spec.desired.deadline_seconds) is None:
            return look_s
        left_s = deadline_s - self.row.request.active_seconds(self.row.now())
        return min(look_s, max(left_s, 0.0) + 0.1)  # a little later, and it is over for certain

    async def _suspend(self) -> float:
        await self._executor.suspend()
        phase = Phase.PENDING if self._reports.plan is None else Phase.RUNNING
        await self._show(self._standing(phase, waits.SUSPENDED))
        return SUSPENDED_LOOK_S

    # -- the end -------------------------------------------------------------------------------------

    async def _merge(self, step: lifecycle.Merge, desired: Desired) -> float:
        """Write the CSVs and commit the end. An early end first waits until no shard runs."""
        if step.reason is not None and not await self._executor.stop():
            await self._show(self._standing(Phase.RUNNING, waits.STOPPING))
            return SOON_S
        is_new, merging = self._merging is None, self._merging or self._start_merging(step)
        self._merging = merging
        if look_s := await self._look_at(merging, self._while_merging, is_new=is_new):
            return look_s
        self._merging = None
        try:
            merged = merging.result()
        except NotFoundError as error:
            return await self._commit(lifecycle.input_lost(str(error)), None)
        ending = lifecycle.conclude(desired, merged.counts, merged.errors, self._merged_step.reason)
        return await self._commit(ending, merged)

    def _start_merging(self, step: lifecycle.Merge) -> BackgroundTask[Merged]:
        plan, request, store = self._reports.plan, self.row.request, self._with.store.blocking
        assert plan is not None

        async def work() -> Merged:
            return await in_thread(
                lambda: merge(store, request.request_id, request.attempt, plan, not_tried=step.not_tried)
            )

        self._merged_step = step
        beside = self._with.background
        return beside.start(self._key, beside.merges, self._with.metrics.timed("merge", work))

    def _while_merging(self, is_queued: bool) -> Request:
        return self._standing(Phase.MERGING, waits.MERGE_QUEUED if is_queued else None)

    async def _commit(self, ending: Ending, merged: Merged | None) -> float:
        request = self._standing(self.row.request.phase)
        ended = await commit(self._with.records, self._with.store.blocking, request, ending, merged)
        if request.webhook_url:
            self._with.webhook_owed()
        if ended is None:
            raise RowChangedError
        self._tally.see_end(ended)
        self.row.renew(ended)
        return 0.0

    # -- showing -------------------------------------------------------------------------------------

    def _standing(self, phase: Phase, waiting: Waiting | None = None) -> Request:
        """The request as it stands now."""
        total, active = self.row.request.counts.total, self._runs.active
        counts = replace(self._reports.counts(active), total=total)
        message = f"{counts.done} of {total} images" if total else ""
        request = replace(self.row.request, errors_by_code=self._reports.errors(active))
        return replace(request, phase=phase, message=message, counts=counts, waiting=waiting)

    async def _show(self, request: Request) -> None:
        """Write the row, if the change is worth it, then what the executor shows."""
        await self.row.write(request)
        await self._executor.show(self.row.request, self.shards)

    async def _show_trouble(self, error: UnavailableError) -> None:
        """Show why nothing moves, as far as that works: Postgres or the cluster may be the reason."""
        if not error.is_worth_showing or self.row.request.phase.is_terminal:
            return
        request = replace(self.row.request, waiting=Waiting(error.reason, str(error)))
        with suppress(UnavailableError, RowChangedError):
            await self.row.write(request)
        with suppress(UnavailableError):
            await self._executor.show(request, self.shards)

    @property
    def shards(self) -> ShardCounts | None:
        """How many shards there are and how far they are; None while the plan is not known."""
        plan = self._reports.plan
        return None if plan is None else ShardCounts.of(plan, self._reports.done.keys(), self._runs)
