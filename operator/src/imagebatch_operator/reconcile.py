"""The one reconcile: observe, decide, carry out, tell.

Level-triggered: it looks at what is there now, on the cluster, on S3 and in Postgres, and does the one step
that `lifecycle.next_step` names. Nothing that matters is remembered, so a crash at any point, or a second
operator by mistake, costs time and nothing else. The work queue calls it for each object that changed.
"""

from dataclasses import replace
from datetime import UTC, datetime

import structlog

from imagebatch import keys, lifecycle
from imagebatch.batches import BatchSpec
from imagebatch.errors import ConflictError, InputRefusedError, RecordsError, StoreError
from imagebatch.lifecycle import Ending, Observed, Phase, Waiting, Wish
from imagebatch.records import NewRequest, Records, Request, Result
from imagebatch.resource import counts_of, qualities_of
from imagebatch_operator import pods
from imagebatch_operator.batch import Batch
from imagebatch_operator.cleanup import LOOK_S
from imagebatch_operator.job import JobFacts, job_facts, job_name
from imagebatch_operator.kube import KubeError
from imagebatch_operator.reports import Reports
from imagebatch_operator.source import SourceWaitsError
from imagebatch_operator.status import View
from imagebatch_operator.steps import Collaborators, Steps
from imagebatch_operator.turn import Memory, Turn, active_seconds, refusal
from imagebatch_operator.work_queue import Key

Trouble = StoreError | RecordsError | SourceWaitsError | KubeError


class Reconciler:
    """Reconciles objects, each as often as it is called."""

    def __init__(self, collaborators: Collaborators) -> None:
        self._with = collaborators
        self._steps = Steps(collaborators)
        self._memories: dict[Key, Memory] = {}

    async def reconcile(self, key: Key) -> float | None:
        """Bring the object on; says in how many seconds to look again at the latest."""
        body = await self._with.kube.get_batch(*key)
        if body is None:
            self._forget(key)
            return None
        batch = Batch(body)
        with structlog.contextvars.bound_contextvars(request_id=batch.request_id):
            if batch.is_deleted:
                return await self._remove(batch)
            if not batch.has_finalizer:
                batch = await self._with.cleanup.protect(batch)
            return await self._advance(batch)

    async def _remove(self, batch: Batch) -> float | None:
        """Carry a deletion out, once nothing is done any more beside the reconciles."""
        self._with.telling.forget(batch)
        memory = self._memories.get(batch.key)
        if memory is not None and not memory.stop_errands():
            return LOOK_S
        return await self._with.cleanup.remove(batch)

    def _forget(self, key: Key) -> None:
        memory = self._memories.pop(key, None)
        if memory is not None:
            memory.stop_errands()

    async def _advance(self, batch: Batch) -> float | None:
        """Step on, and say what the trouble is when that is not possible now."""
        request = None
        try:
            request = await self._recorded(batch)
            return await self._step(batch, request)
        except ConflictError as error:
            await self._refuse(batch, error)
            return None
        except (StoreError, RecordsError, SourceWaitsError, KubeError) as error:
            if not isinstance(error, KubeError) or error.status not in {0, 409}:
                await self._tell_trouble(batch.key, request, error)
            raise

    async def _tell_trouble(self, key: Key, request: Request | None, error: Trouble) -> None:
        """Say why nothing moves, on the object as it is by now."""
        fresh = await self._with.kube.get_batch(*key)
        if fresh is not None:
            await self._with.telling.waits(Batch(fresh), request, _waiting(error))

    async def _recorded(self, batch: Batch) -> Request:
        """The batch's row, made or reopened if need be. Raises ConflictError when it is another object's."""
        records, request_id = self._with.records, batch.request_id
        found = await records.get(request_id)
        if found is None and batch.is_told_finished:
            await restore(records, batch)
        elif found is None:
            await records.create(_new_request(batch))
        elif found.owner == batch.uid and found.attempt < batch.attempt:
            await records.reopen(request_id, batch.attempt)
        elif found.owner == batch.uid:
            return found
        found = await records.get(request_id)
        if found is None or found.owner != batch.uid:
            raise ConflictError(f"the request id {request_id} belongs to another object; leave it out")
        return found

    async def _refuse(self, batch: Batch, error: ConflictError) -> None:
        """End an object whose id has another object's row."""
        if not batch.is_told_finished:
            view = View(
                phase=Phase.FAILED,
                message="Not run",
                error=str(error),
                reason="RequestIdTaken",
                finished=datetime.now(UTC),
            )
            await self._with.telling.tell(batch, view)

    async def _step(self, batch: Batch, request: Request) -> float | None:
        """Take steps as long as one leads to the next at once."""
        while request.status == "pending":
            after = await self._take(await self._observe(batch, request))
            if after:
                return after
            fresh = await self._with.kube.get_batch(*batch.key)
            if fresh is None or "deletionTimestamp" in fresh["metadata"]:
                return 0.0
            batch = Batch(fresh)
            request = await self._recorded(batch)
        return await self._steps.settle(batch, request)

    async def _take(self, turn: Turn) -> float:
        wish = Wish() if turn.observed.refusal else turn.batch.wanted.wish
        step = lifecycle.next_step(wish, turn.observed)
        if not isinstance(step, lifecycle.Plan | lifecycle.Merge):
            turn.memory.stop_errands()
            turn.memory.planning = turn.memory.merging = None
        match step:
            case lifecycle.Plan():
                return await self._steps.plan(turn)
            case lifecycle.Run():
                return await self._steps.run(turn)
            case lifecycle.Stop():
                return await self._steps.suspend(turn)
            case lifecycle.Merge():
                return await self._steps.merge(turn, step)
            case lifecycle.Finish(ending):
                return await self._steps.finish(turn, ending)
            case lifecycle.Done():
                return 0.0

    # -- observing -----------------------------------------------------------------------------------

    async def _observe(self, batch: Batch, request: Request) -> Turn:
        memory = self._memory(batch)
        problems = refusal(batch, memory)
        seen = Turn(
            batch=batch,
            request=request,
            memory=memory,
            observed=Observed(phase=request.phase, refusal=problems),
        )
        plan = None if problems else await memory.reports.load_plan(self._with.store)
        if plan is None:
            return seen
        if request.counts.total != plan.images:  # the row is ours, the plan the API's
            await self._with.records.planned(request, plan.rows, plan.images, request.input_sha256)
            seen = replace(seen, request=replace(request, rows=plan.rows))
        if not memory.reports.is_listed:
            await memory.reports.list_all(self._with.store)
        return await self._observe_job(seen)

    async def _observe_job(self, seen: Turn) -> Turn:
        batch, reports = seen.batch, seen.reports
        plan = reports.plan
        assert plan is not None
        found = await self._with.kube.get_job(batch.key.namespace, job_name(batch))
        job = job_facts(found) if found is not None else None
        given_up = await self._given_up(job, reports)
        known = self._with.pods.of(batch.uid)
        running = pods.running_shards(job, known) if job is not None else []
        is_open = len(reports.done) < len(plan.shards)
        observed = Observed(
            phase=seen.request.phase,
            shards=len(plan.shards),
            reported=frozenset(reports.done),
            active=frozenset(running),
            given_up=given_up,
            counts=reports.counts(running),
            images=plan.images,
            active_seconds=active_seconds(batch, seen.request, datetime.now(UTC)),
            defect=pods.defect(job, known) if job is not None and is_open else "",
        )
        return replace(seen, observed=observed, job=job, pods=known, running=running)

    async def _given_up(self, job: JobFacts | None, reports: Reports) -> frozenset[int]:
        """The shards that the Job will not do any more. A report that is there is trusted before the Job."""
        if job is None:
            return frozenset()
        over = frozenset(job.shards) if job.ended else job.completed | job.failed
        await reports.read(self._with.store, over)
        lost = over if job.ended else job.failed
        return lost - reports.done.keys()

    def _memory(self, batch: Batch) -> Memory:
        memory = self._memories.get(batch.key)
        if memory is None or (memory.uid, memory.attempt) != (batch.uid, batch.attempt):
            self._forget(batch.key)
            reports = Reports(batch.request_id, batch.attempt, keys.plan(batch.request_id, batch.upload))
            memory = self._memories[batch.key] = Memory(batch.uid, batch.attempt, reports)
        return memory


def _new_request(batch: Batch) -> NewRequest:
    try:
        wanted = batch.wanted
    except InputRefusedError:
        wanted = BatchSpec()  # it is failed at once, but it has its row like every other
    return NewRequest(
        request_id=batch.request_id,
        owner=batch.uid,
        attempt=batch.attempt,
        spec=wanted.as_spec(),
        input_sha256=batch.input_sha256,
        webhook_url=batch.webhook_url,
        webhook_secret=batch.webhook_secret,
        uploaded_by=batch.uploaded_by,
        upload=batch.upload,
    )


async def restore(records: Records, batch: Batch) -> None:
    """Record the end that an object tells, when its row was lost; its webhook was sent, or is lost too."""
    await records.create(replace(_new_request(batch), webhook_url=None))
    found = await records.get(batch.request_id)
    if found is not None and found.owner == batch.uid:
        status = batch.status
        reason = status.get("reason", "")
        ending = Ending(batch.phase, status.get("message", ""), status.get("error"), reason)
        has_output = "outputCsv" in batch.status
        result = Result(
            counts=counts_of(batch.status),
            errors_by_code=batch.status.get("failures", {}),
            output_key=keys.output(batch.request_id) if has_output else None,
            errors_key=keys.errors(batch.request_id) if "errorsCsv" in batch.status else None,
            report_key=keys.image_report(batch.request_id) if "reportCsv" in batch.status else None,
            qualities=qualities_of(batch.status),
        )
        await records.finish(found, ending, result, "", "")


def _waiting(error: Trouble) -> Waiting:
    """Why a batch waits that meets a trouble of the operator itself."""
    match error:
        case SourceWaitsError():
            return Waiting("SourceNotReady", str(error))
        case KubeError():
            return Waiting("KubernetesRefused", str(error))
        case _:
            return lifecycle.waiting_for(error)
