"""One shard from its plan to its report.

`process_images` is called by `main`, and by tests with a store in memory. The order of writes is the
contract: each image before the checkpoint that names it, then the fragment, then the report, which alone
makes the shard count.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import structlog

from imagebatch.batch import checkpoint, shard
from imagebatch.batch.checkpoint import StoredImages
from imagebatch.batch.shard import Report, ShardId
from imagebatch.outcome import Counts, ImageOutcome
from imagebatch.storage import keys
from imagebatch.storage.store import ShardStore
from imagebatch_jobrunner import shard_input
from imagebatch_jobrunner.backlog import Backlog
from imagebatch_jobrunner.checkpoint import CheckpointWriter
from imagebatch_jobrunner.download.hosts import host_of
from imagebatch_jobrunner.fair_queue import FairQueue, Permit
from imagebatch_jobrunner.image import ImageWorker
from imagebatch_jobrunner.progress import Pace, ProgressWriter
from imagebatch_jobrunner.services import Services
from imagebatch_jobrunner.shard_input import ShardInput
from imagebatch_jobrunner.store_pace import PATIENCE_S
from imagebatch_jobrunner.store_threads import PutDirectly, StoreThreads

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardRun:
    """Which shard is done by which run, and how much at once: at most `window` links are under way, and no
    more than keep `codecs` processes at work.

    `plan_key` is the key of the batch's plan, where it is not the usual one.
    """

    shard: ShardId
    run: str
    plan_key: str = ""
    window: int = 128
    codecs: int = 2
    store_threads: int = 16
    store_patience_s: float = PATIENCE_S
    pace: Pace = Pace()


_LINKS_PER_CODEC = 4
"""One in work, one that waits for it, one that is being stored, one that is being downloaded."""

OpenServices = Callable[[], AbstractAsyncContextManager[Services]]


async def process_images(
    work: ShardRun,
    store: ShardStore,
    open_services: OpenServices,
    put_directly: PutDirectly | None = None,
) -> None:
    """Do a shard whose report does not exist yet; afterwards it does, whether or not images failed.

    The services are opened only when there is something to do. Raises PoisonShardError when the input is
    unusable, StoreError when S3 fails; some of them in an ExceptionGroup.
    """
    async with StoreThreads(
        store,
        threads=work.store_threads,
        put_directly=put_directly,
        patience_s=work.store_patience_s,
    ) as blocking:
        if await blocking.run(lambda its: is_reported(its, work.shard)):
            log.info("the shard is done already")
            return
        started_at = time.time()
        given = await blocking.run(
            lambda its: shard_input.read(its, work.shard, work.plan_key or keys.plan(work.shard.request_id))
        )
        earlier = await blocking.run(lambda its: checkpoint.of_earlier_attempts(its, work.shard))
        stored = await blocking.run(lambda its: checkpoint.read(its, work.shard))
        if stored.images:
            log.info("going on where an earlier run stopped", stored=len(stored.images))
        stored = StoredImages(earlier | stored.images, stored.parts)
        async with open_services() as services:
            done = await _work(work, given, stored, blocking, services)
        await blocking.patiently(
            "report", lambda: blocking.run(lambda its: _commit(its, work, given, done, started_at))
        )


def is_reported(store: ShardStore, which: ShardId) -> bool:
    return store.head(keys.report(which.request_id, which.attempt, which.index)) is not None


@dataclass(frozen=True, slots=True)
class _Done:
    """The outcomes of all links, in the order of the rows; seconds by stage of those this run stored."""

    outcomes: list[ImageOutcome]
    seconds: Mapping[str, float]


async def _work(
    work: ShardRun,
    given: ShardInput,
    stored: StoredImages,
    store: StoreThreads,
    services: Services,
) -> _Done:
    """Work on all links; what earlier runs and attempts stored stands."""
    backlog = Backlog(enough=work.codecs, least=_LINKS_PER_CODEC * work.codecs, most=work.window)
    worker = ImageWorker(services, store, work.shard.request_id, backlog)
    outcomes: list[ImageOutcome] = []

    async def finish(outcome: ImageOutcome) -> None:
        outcomes.append(outcome)
        await progress.add(outcome)

    async def take(permit: Permit) -> None:
        try:
            outcome = await worker.work(permit)
            if outcome.error is None:
                await checkpoints.add(outcome)  # first: a stop may come at any wait
            await finish(outcome)
        finally:
            permit.release()
            backlog.end()

    async with (
        ProgressWriter(store, work.shard, work.run, work.pace) as progress,
        CheckpointWriter(store, work.shard, given.range.images, stored.parts) as checkpoints,
        asyncio.TaskGroup() as group,
    ):
        slots = list(given.slots())
        for slot in slots:
            if earlier := stored.images.get((slot.row, slot.slot)):
                await finish(earlier)
        await progress.begin()
        missing = (slot for slot in slots if (slot.row, slot.slot) not in stored.images)
        queue = FairQueue(missing, lambda slot: host_of(slot.link), services.fetcher.per_host)
        while permit := await queue.next():
            backlog.begin()
            group.create_task(take(permit))
            await backlog.room()
    outcomes.sort(key=lambda outcome: (outcome.row, outcome.slot))
    return _Done(outcomes, worker.seconds)


def _commit(store: ShardStore, work: ShardRun, given: ShardInput, done: _Done, started_at: float) -> None:
    outcomes = done.outcomes
    report = Report(
        run=work.run,
        fragment=shard.write_fragment(store, work.shard, work.run, outcomes),
        rows=given.range.rows,
        counts=_counts(outcomes),
        errors=dict(Counter(str(outcome.error) for outcome in outcomes if outcome.error)),
        started_at=started_at,
        finished_at=time.time(),
        seconds={stage: round(seconds, 3) for stage, seconds in done.seconds.items()},
    )
    is_first = shard.commit(store, work.shard, report)
    log.info("shard done", is_first=is_first, images=report.counts.total, failed=report.counts.failed)


def _counts(outcomes: list[ImageOutcome]) -> Counts:
    counts = Counts()
    for outcome in outcomes:
        counts = counts.with_outcome(outcome)
    return counts
