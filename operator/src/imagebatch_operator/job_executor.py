"""Runs a batch's shards as one Indexed Job, and shows the batch in its object's status."""

from dataclasses import dataclass
from datetime import UTC, datetime

from imagebatch.batch.executor import ShardCounts, ShardRuns
from imagebatch.batch.lifecycle import Waiting
from imagebatch.batch.plan import Plan
from imagebatch.batch.spec import BatchSpec
from imagebatch.csv.ingest import Ingested
from imagebatch.custom_resource import ImageBatch
from imagebatch.records import Request
from imagebatch.storage import keys
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.keys import InputKeys
from imagebatch.storage.store import ObjectStore
from imagebatch_operator import pods
from imagebatch_operator.cleanup import Cleanup
from imagebatch_operator.job import (
    LINKS_LIFETIME,
    InputLinks,
    JobFacts,
    JobInput,
    job_facts,
    job_name,
    shard_job,
)
from imagebatch_operator.kube import Kube, KubeError
from imagebatch_operator.pod_cache import PodCache
from imagebatch_operator.pods import PodFacts
from imagebatch_operator.settings import OperatorSettings
from imagebatch_operator.source import Sources
from imagebatch_operator.status_writer import StatusWriter

LOOK_S = 5.0
"""How often the progress of shards that run is read; their ends are events."""

SOON_S = 1.0
STOPPING_S = 60.0
"""How long an early end waits for its pods; what comes later can harm nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What executors work with."""

    kube: Kube
    store: AsyncStore
    sources: Sources
    pods: PodCache
    status: StatusWriter
    cleanup: Cleanup
    settings: OperatorSettings


class JobExecutor:
    """An `Executor`. `batch` is the object as it was read last; the reconciler replaces it."""

    def __init__(self, services: Services, batch: ImageBatch) -> None:
        self._with = services
        self.batch = batch
        self._job: JobFacts | None = None
        self._pods: list[PodFacts] = []
        self._job_name = ""
        self._stopping_since: datetime | None = None

    # -- the source ----------------------------------------------------------------------------------

    @property
    def downloads_source(self) -> bool:
        return "url" in self.batch.source

    async def read_source(self) -> Ingested:
        """Raises SourceWaitsError too."""
        return await self._with.sources.snapshot(self.batch)

    # -- the Job -------------------------------------------------------------------------------------

    async def observe(self) -> ShardRuns:
        found = await self._with.kube.get_job(self.batch.key.namespace, job_name(self.batch))
        self._pods = self._with.pods.of(self.batch.uid)
        self._job = job = job_facts(found) if found is not None else None
        if job is None:
            return ShardRuns()
        self._job_name = job_name(self.batch)
        over = frozenset(job.shards) if job.ended else job.completed | job.failed
        defect = pods.defect(job, self._pods)
        return ShardRuns(
            active=frozenset(pods.running_shards(job, self._pods)),
            started=job.active,
            ended=dict.fromkeys(over, job.uid),
            given_up=job.failed if defect else over if job.ended else job.failed,
            trouble=pods.trouble(self._pods),
            defect=defect,
        )

    async def run(self, shards: frozenset[int], plan: Plan, spec: BatchSpec) -> float:
        """Keep the attempt's Job at work; it may have been deleted since the last look."""
        if self._job is None:
            return await self._create(shards, plan)
        now = datetime.now(UTC)
        if self._job.is_deleted:
            return SOON_S
        if self._job.needs_new_links(now):
            await self._with.cleanup.delete_jobs(self.batch)  # and the next one gets new ones
            return SOON_S
        await self._patch(self._job, spec.desired.parallelism, suspend=False)
        if any(pod.is_stuck(now) for pod in self._pods):
            await self._with.cleanup.forget_stuck_pods(self.batch)
        return LOOK_S

    async def _create(self, shards: frozenset[int], plan: Plan) -> float:
        """Create the attempt's Job over all shards that have no report."""
        batch, settings = self.batch, self._with.settings
        plan_key = keys.plan(batch.request_id, batch.upload)
        files = InputKeys(plan.input_of(batch.request_id), plan_key)
        links = await self._input_links(files) if settings.jobrunner_s3_secret else None
        job = shard_job(batch, sorted(shards), len(plan.shards), settings, JobInput(files, links))
        try:
            await self._with.kube.create_job(job)
        except KubeError as error:
            if error.status != 409:  # there already: by another operator, or before a restart
                raise
        self._job_name = job_name(batch)
        return LOOK_S

    async def _input_links(self, files: InputKeys) -> InputLinks:
        """For pods with a key of their own, which may read no batch's input: else a pod that a picture took
        over could read every catalogue.
        """
        until = datetime.now(UTC) + LINKS_LIFETIME

        def signed(store: ObjectStore) -> InputLinks:
            lifetime_s = int(LINKS_LIFETIME.total_seconds())
            plan, given = (store.signed_link(key, lifetime_s) for key in (files.plan, files.canonical))
            return InputLinks(plan, given, until)

        return await self._with.store.run(signed)

    async def _patch(self, job: JobFacts, parallelism: int, *, suspend: bool) -> None:
        patch = job.needs(parallelism, suspend=suspend)
        if patch:
            await self._with.kube.patch_job(self.batch.key.namespace, job_name(self.batch), patch)

    async def waiting(self, last_done: datetime) -> Waiting | None:
        return pods.waiting(self._pods, last_done) or await self._without_pods()

    async def _without_pods(self) -> Waiting | None:
        """Why a Job that should have pods has none, such as a quota: only its Events say it."""
        if self._job is None or self._job.active or self._job.ended:
            return None
        selector = f"involvedObject.kind=Job,involvedObject.name={self._job_name},reason=FailedCreate"
        events = await self._with.kube.list_events(self.batch.key.namespace, selector)
        return Waiting("PodsNotCreated", str(events[-1].get("message", ""))) if events else None

    async def suspend(self) -> None:
        if self._job is not None and not self._job.is_deleted:
            await self._patch(self._job, self._job.parallelism, suspend=True)

    async def stop(self) -> bool:
        """Suspend the Job; whether its pods are over, or had time enough.

        It is deleted after the end is committed: until then it says why the batch ends, after a restart too.
        """
        await self.suspend()
        now = datetime.now(UTC)
        self._stopping_since = self._stopping_since or now
        is_over = not await self._with.cleanup.has_unfinished_pods(self.batch)
        return is_over or (now - self._stopping_since).total_seconds() > STOPPING_S

    # -- the status ----------------------------------------------------------------------------------

    async def show(self, request: Request, shards: ShardCounts | None) -> None:
        self.batch = await self._with.status.write(self.batch, request, shards, self._job_name)
