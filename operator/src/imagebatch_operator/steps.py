"""How each step of the lifecycle is carried out on Kubernetes. The reconcile decides which, and when."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from imagebatch import lifecycle
from imagebatch.ending import commit
from imagebatch.errors import AlreadyExistsError, InputRefusedError, NotFoundError
from imagebatch.ingest import Ingested
from imagebatch.keys import InputKeys
from imagebatch.lifecycle import Ending, Phase, Waiting
from imagebatch.merge import Merged, merge
from imagebatch.records import Records, Request
from imagebatch.store import ObjectStore
from imagebatch_operator import pods
from imagebatch_operator.batch import Batch
from imagebatch_operator.cleanup import Cleanup
from imagebatch_operator.cluster import PodCache
from imagebatch_operator.errands import Errand, Errands, in_thread
from imagebatch_operator.job import LINKS_LIFETIME, InputLinks, JobInput, job_name, shard_job
from imagebatch_operator.kube import Kube, KubeError
from imagebatch_operator.reports import AsyncStore
from imagebatch_operator.settings import OperatorSettings
from imagebatch_operator.source import Sources
from imagebatch_operator.telling import Telling
from imagebatch_operator.turn import Links, Merging, Turn, ended_view, view_of

TICK_S = 5.0
SUSPENDED_TICK_S = 300.0
SOON_S = 1.0
STOPPING_S = 60.0
"""How long an early end waits for its pods; what comes later can harm nothing."""

ERRAND_LOOK_S = 30.0
"""An errand marks its batch when it is over; this is for the case that the mark was lost."""

_QUEUED_SOURCE = Waiting("Queued", "other sources are being read; this one has its turn after them")
_QUEUED_MERGE = Waiting("Queued", "other batches are being merged; this one has its turn after them")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """What the steps work with. `promised` is called after a terminal commit that owes a webhook."""

    kube: Kube
    records: Records
    store: AsyncStore
    sources: Sources
    pods: PodCache
    telling: Telling
    cleanup: Cleanup
    settings: OperatorSettings
    errands: Errands
    promised: Callable[[], None]


class Steps:
    """Each step returns in how many seconds to look again; 0 means at once."""

    def __init__(self, collaborators: Collaborators) -> None:
        self._with = collaborators

    # -- planning ------------------------------------------------------------------------------------

    async def plan(self, turn: Turn) -> float:
        """Snapshot the source. Another operator may be at it too: the first plan counts."""
        batch, memory = turn.batch, turn.memory
        if memory.planning is None:
            await self._tell_planning(turn, is_queued=False)
            memory.planning = self._start_snapshot(batch)
            await memory.planning.start_up()
            if not memory.planning.is_over:
                return SOON_S
        elif not memory.planning.is_over:
            await self._tell_planning(turn, is_queued=memory.planning.is_queued())
            return ERRAND_LOOK_S
        planning, memory.planning = memory.planning, None
        try:
            ingested = planning.result()
        except AlreadyExistsError:
            return 0.0
        except InputRefusedError as error:
            memory.refusal = error.problems
            return 0.0
        await self._with.records.planned(
            turn.request, ingested.plan.rows, ingested.plan.images, ingested.sha256
        )
        return 0.0

    async def _tell_planning(self, turn: Turn, *, is_queued: bool) -> None:
        """Say that the source is read, unless the status says why it could not be: that stays until it is."""
        batch = turn.batch
        was_queued = batch.condition("Progressing").get("reason") == _QUEUED_SOURCE.reason
        if is_queued or was_queued or batch.phase is not Phase.PLANNING or not batch.is_told:
            view = view_of(turn, Phase.PLANNING, waiting=_QUEUED_SOURCE if is_queued else None)
            await self._with.telling.tell(batch, view, turn.request)

    def _start_snapshot(self, batch: Batch) -> Errand[Ingested]:
        errands = self._with.errands
        room = errands.sources if "url" in batch.source else errands.snapshots
        return errands.start(batch.key, room, lambda: self._with.sources.snapshot(batch))

    # -- running -------------------------------------------------------------------------------------

    async def run(self, turn: Turn) -> float:
        """Keep the attempt's Job at work, and tell how far it is."""
        if turn.job is None:
            return await self._create_job(turn)
        if turn.job.is_deleted:
            return SOON_S
        now = datetime.now(UTC)
        if turn.job.needs_new_links(now):
            await self._with.cleanup.delete_jobs(turn.batch)  # and the next one gets new ones
            return SOON_S
        await self._patch_job(turn, suspend=False)
        if any(pod.is_stuck(now) for pod in turn.pods):
            await self._with.cleanup.forget_stuck_pods(turn.batch)
        await turn.reports.look(self._with.store, turn.running)
        waiting = pods.waiting(turn.pods, turn.reports.last_done) or await self._without_pods(turn)
        await self._with.telling.tell(turn.batch, view_of(turn, Phase.RUNNING, waiting=waiting), turn.request)
        return _until_deadline(turn)

    async def _create_job(self, turn: Turn) -> float:
        """Create the attempt's Job over all shards that have no report: it may have been deleted before."""
        batch, plan = turn.batch, turn.reports.plan
        assert plan is not None
        await turn.reports.carry_forward(self._with.store)
        open_shards = [index for index in range(len(plan.shards)) if index not in turn.reports.done]
        if not open_shards:
            return 0.0
        files = InputKeys(plan.input_of(batch.request_id), turn.reports.plan_key)
        links = await self._input_links(files) if self._with.settings.jobrunner_s3_secret else None
        job = shard_job(batch, open_shards, len(plan.shards), self._with.settings, JobInput(files, links))
        try:
            await self._with.kube.create_job(job)
        except KubeError as error:
            if error.status != 409:  # there already: by another operator, or before a restart
                raise
        view = replace(view_of(turn, Phase.RUNNING), job=job_name(batch))
        await self._with.telling.tell(batch, view, turn.request)
        return TICK_S

    async def _input_links(self, files: InputKeys) -> InputLinks:
        """For pods with a key of their own, which may read no batch's input: else one that was taken over
        by a picture could read every catalogue.
        """
        until = datetime.now(UTC) + LINKS_LIFETIME

        def signed(store: ObjectStore) -> InputLinks:
            lifetime_s = int(LINKS_LIFETIME.total_seconds())
            plan, given = (store.signed_link(key, lifetime_s) for key in (files.plan, files.canonical))
            return InputLinks(plan, given, until)

        return await self._with.store.run(signed)

    async def _patch_job(self, turn: Turn, *, suspend: bool) -> None:
        assert turn.job is not None
        patch = turn.job.needs(turn.batch.wanted.wish.parallelism, suspend=suspend)
        if patch:
            await self._with.kube.patch_job(turn.batch.key.namespace, job_name(turn.batch), patch)

    async def _without_pods(self, turn: Turn) -> Waiting | None:
        """Why a Job that should have pods has none, such as a quota: only its Events tell."""
        if turn.job is None or turn.job.active or turn.job.ended:
            return None
        selector = f"involvedObject.kind=Job,involvedObject.name={job_name(turn.batch)},reason=FailedCreate"
        events = await self._with.kube.list_events(turn.batch.key.namespace, selector)
        return Waiting("PodsNotCreated", str(events[-1].get("message", ""))) if events else None

    async def suspend(self, turn: Turn) -> float:
        """Let the Job's pods stop, and wait."""
        if turn.job is not None and not turn.job.is_deleted:
            await self._patch_job(turn, suspend=True)
        phase = Phase.PENDING if turn.reports.plan is None else Phase.RUNNING
        waiting = Waiting("Suspended", "spec.suspend is true; set it to false to go on")
        await self._with.telling.tell(turn.batch, view_of(turn, phase, waiting=waiting), turn.request)
        return SUSPENDED_TICK_S

    def _links(self, request: Request) -> Links:
        """The output CSV's own link; the other CSVs are private, so they are had through the API."""
        store, private = (
            self._with.store.blocking,
            f"{self._with.settings.public_url}/batches/{request.request_id}",
        )
        return Links(
            output=store.link(request.output_key) if request.output_key else None,
            errors=f"{private}/errors.csv" if request.errors_key else None,
            report=f"{private}/report.csv" if request.report_key else None,
        )

    # -- the end -------------------------------------------------------------------------------------

    async def merge(self, turn: Turn, step: lifecycle.Merge) -> float:
        """Write the CSVs and commit the end; before its time only when no pod writes any more."""
        if step.reason is not None and not await self._is_stopped(turn):
            return SOON_S
        memory = turn.memory
        if memory.merging is None:
            await self._with.telling.tell(turn.batch, view_of(turn, Phase.MERGING), turn.request)
            memory.merging = Merging(self._start_merge(turn, step), step)
            await memory.merging.errand.start_up()
            if not memory.merging.errand.is_over:
                return SOON_S
        elif not memory.merging.errand.is_over:
            waiting = _QUEUED_MERGE if memory.merging.errand.is_queued() else None
            view = view_of(turn, Phase.MERGING, waiting=waiting)
            await self._with.telling.tell(turn.batch, view, turn.request)
            return ERRAND_LOOK_S
        merging, memory.merging = memory.merging, None
        try:
            merged = merging.errand.result()
        except NotFoundError as error:
            return await self.finish(turn, lifecycle.input_lost(str(error)))
        reason = merging.step.reason
        ending = lifecycle.conclude(turn.batch.wanted.wish, merged.counts, merged.errors, reason)
        return await self._commit(turn, ending, merged)

    def _start_merge(self, turn: Turn, step: lifecycle.Merge) -> Errand[Merged]:
        plan, request, store = turn.reports.plan, turn.request, self._with.store.blocking
        assert plan is not None

        async def work() -> Merged:
            return await in_thread(
                lambda: merge(store, request.request_id, request.attempt, plan, not_tried=step.not_tried)
            )

        return self._with.errands.start(turn.batch.key, self._with.errands.merges, work)

    async def _is_stopped(self, turn: Turn) -> bool:
        """Whether the pods are gone, or had time enough."""
        now = datetime.now(UTC)
        turn.memory.stopping_since = turn.memory.stopping_since or now
        is_gone = await self._with.cleanup.stop(turn.batch)
        if is_gone or (now - turn.memory.stopping_since).total_seconds() > STOPPING_S:
            return True
        waiting = Waiting("Stopping", "the pods are being stopped")
        view = view_of(turn, Phase.RUNNING, waiting=waiting)
        await self._with.telling.tell(turn.batch, view, turn.request)
        return False

    async def finish(self, turn: Turn, ending: Ending) -> float:
        """Commit an end without CSVs."""
        return await self._commit(turn, ending, None)

    async def _commit(self, turn: Turn, ending: Ending, merged: Merged | None) -> float:
        if await commit(self._with.records, self._with.store.blocking, turn.request, ending, merged):
            self._with.promised()
        return 0.0

    async def settle(self, batch: Batch, request: Request) -> float | None:
        """Tell the end as the row has it; then clean up, follow the webhook, and delete after the TTL."""
        view = ended_view(batch, request, self._links(request))
        told = await self._with.telling.tell_end(batch, view, request)
        await self._with.cleanup.delete_jobs(batch)
        delivery = await self._with.records.delivery(request.request_id)
        webhook_due = await self._with.telling.tell_webhook(told, delivery)
        ttl_due = await self._with.cleanup.expire(told, request)
        return min((due for due in (webhook_due, ttl_due) if due is not None), default=None)


def _until_deadline(turn: Turn) -> float:
    """The next look: at the tick, or when the deadline passes."""
    deadline = turn.batch.wanted.wish.deadline_seconds
    if deadline is None:
        return TICK_S
    return min(TICK_S, max(deadline - turn.observed.active_seconds, 0.0) + 0.1)
