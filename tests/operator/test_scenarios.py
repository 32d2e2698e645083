"""The same scenarios over both executors, the Indexed Job and processes, with the same outcomes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

from imagebatch.batch.exit_codes import Exit
from imagebatch.batch.shard import ShardId
from imagebatch.batch.spec import BatchSpec
from imagebatch.csv.ingest import ingest
from imagebatch.metrics import BatchMetrics
from imagebatch.records import NewRequest, Records, Request
from imagebatch.settings import NetworkSettings, S3Settings
from imagebatch.storage import keys
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.store import ObjectStore
from imagebatch_cli.engine import LocalEngine, Services
from imagebatch_cli.shards import ShardEnd, ShardProcesses, ShardWork
from imagebatch_testing.local import csv_of
from imagebatch_testing.waiting import until
from imagebatch_testing.without_nodes import (
    JobController,
    Objects,
    OperatorProcess,
    leave_report,
    new_name,
)

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.timeout(120, func_only=True)]

SHARDS = 3
CSV = csv_of([[f"http://shop.example/{number}.jpg"] for number in range(SHARDS)])


class World(Protocol):
    """One batch of three shards under an executor. The test plays what runs the shards."""

    async def change(self, **spec: Any) -> None:
        """Change what is wanted."""
        ...

    async def until_run(self, *indexes: int) -> None:
        """Have these shards run, once they are to."""
        ...

    async def end(self, index: int, code: int, words: str = "", *, failed: bool = False) -> None:
        """A shard's run ends; with code 0 it has reported, its only image stored or `failed`."""
        ...

    async def until_stopped(self) -> None:
        """Wait until nothing is to run any more."""
        ...

    async def again(self) -> None:
        """Begin another attempt."""
        ...

    async def lose_input(self) -> None:
        """Somebody deletes the canonical CSV."""
        ...

    async def ended(self) -> Request:
        """The row, once it is at its end."""
        ...


class OnJob:
    """Over the real operator and a real API server, whose Job controller is played."""

    def __init__(
        self, objects: Objects, records: Records, store: ObjectStore, made: Mapping[str, Any]
    ) -> None:
        self._objects, self._records, self._store = objects, records, store
        self._name, self._uid = made["metadata"]["name"], made["metadata"]["uid"]
        self._job: JobController | None = None
        self._attempt = 1

    async def change(self, **spec: Any) -> None:
        await self._objects.change(self._name, **spec)

    async def until_run(self, *indexes: int) -> None:
        found = await self._objects.until_job(self._uid, lambda job: not job["spec"].get("suspend"))
        if self._job is None or self._job.name != found["metadata"]["name"]:
            self._job = JobController(self._objects, found)
        await self._job.run(*(self._index(shard) for shard in indexes))

    def _index(self, shard: int) -> int:
        """The Job does only the shards that are open, so its indexes may be others."""
        assert self._job is not None
        return self._job.shards.index(shard)

    async def end(self, index: int, code: int, words: str = "", *, failed: bool = False) -> None:
        assert self._job is not None
        if code == Exit.DONE:
            await asyncio.to_thread(
                leave_report, self._store, ShardId(self._uid, self._attempt, index), failed=failed
            )
            await self._job.complete(self._index(index))
            return
        await self._job.end_pod(self._index(index), code, words)
        if code == Exit.POISON_SHARD:
            await self._job.fail(self._index(index))
        if code == Exit.DEFECT:
            await self._job.fail_job("PodFailurePolicy", words)

    async def until_stopped(self) -> None:
        assert self._job is not None
        job = self._job

        async def is_stopped() -> bool:
            found = [
                each for each in await self._objects.jobs(self._uid) if each["metadata"]["name"] == job.name
            ]
            return (
                not found
                or "deletionTimestamp" in found[0]["metadata"]
                or found[0]["spec"].get("suspend", False)
            )

        await until(is_stopped)
        await job.remove_pods()

    async def again(self) -> None:
        await self._objects.until_status(self._name, lambda status: "completionTime" in status)
        self._attempt += 1
        self._job = None
        await self.change(attempt=self._attempt)
        await until(self._is_begun)

    async def _is_begun(self) -> bool:
        found = await self._records.get(self._uid)
        return found is not None and found.attempt == self._attempt

    async def lose_input(self) -> None:
        prefix = keys.batch_prefix(self._uid)
        found = [stored.key for stored in self._store.list(prefix) if "/input" in stored.key]
        self._store.delete(found)

    async def ended(self) -> Request:
        await self._objects.until_status(self._name, lambda status: "completionTime" in status)
        found = await self._records.get(self._uid)
        assert found is not None
        return found


class PlayedProcesses(ShardProcesses):
    """Processes whose ends the test decides."""

    def __init__(self) -> None:
        super().__init__(S3Settings(s3_bucket="none"), NetworkSettings(), Path(), at_once=8)
        self.running: dict[int, asyncio.Future[ShardEnd]] = {}

    async def run(self, shard: ShardId, work: ShardWork) -> ShardEnd:  # noqa: ARG002
        end: asyncio.Future[ShardEnd] = asyncio.get_running_loop().create_future()
        self.running[shard.index] = end
        try:
            return await end
        finally:
            del self.running[shard.index]


class OnProcesses:
    """Over the local engine."""

    def __init__(
        self,
        records: Records,
        store: ObjectStore,
        engine: LocalEngine,
        processes: PlayedProcesses,
        request_id: str,
    ) -> None:
        self._records, self._store, self._engine = records, store, engine
        self._processes, self._request_id = processes, request_id
        self._attempt = 1

    async def change(self, **spec: Any) -> None:
        await self._records.change_spec(self._request_id, spec)
        self._engine.wake(self._request_id)

    async def until_run(self, *indexes: int) -> None:
        await until(lambda: set(indexes) <= self._processes.running.keys())

    async def end(self, index: int, code: int, words: str = "", *, failed: bool = False) -> None:
        if code == Exit.DONE:
            leave_report(self._store, ShardId(self._request_id, self._attempt, index), failed=failed)
        self._processes.running[index].set_result(ShardEnd(code, words))

    async def until_stopped(self) -> None:
        await until(lambda: not self._processes.running)

    async def again(self) -> None:
        await self.ended()
        self._attempt += 1
        await self._records.reopen(self._request_id, self._attempt)
        self._engine.wake(self._request_id)

    async def lose_input(self) -> None:
        self._store.delete([keys.canonical_input(self._request_id)])

    async def ended(self) -> Request:
        found: list[Request] = []

        async def is_ended() -> bool:
            request = await self._records.get(self._request_id)
            assert request is not None
            found[:] = [request]
            return request.attempt == self._attempt and request.status != "pending"

        await until(is_ended)
        return found[0]


# -- the scenarios -----------------------------------------------------------------------------------


async def all_done(world: World) -> None:
    await world.until_run(0, 1, 2)
    for index in range(SHARDS):
        await world.end(index, Exit.DONE)


async def some_images_fail(world: World) -> None:
    await world.until_run(0, 1, 2)
    for index in range(SHARDS):
        await world.end(index, Exit.DONE, failed=index == 1)


async def suspended_and_resumed(world: World) -> None:
    await world.until_run(0, 1, 2)
    await world.end(0, Exit.DONE)
    await world.change(suspend=True)
    await world.until_stopped()
    await world.change(suspend=False)
    await world.until_run(1, 2)
    for index in (1, 2):
        await world.end(index, Exit.DONE)


async def cancelled(world: World) -> None:
    await world.until_run(0, 1, 2)
    await world.end(2, Exit.DONE)
    await world.change(cancel=True)
    await world.until_stopped()


async def cancelled_while_suspended(world: World) -> None:
    await world.until_run(0, 1, 2)
    await world.change(suspend=True)
    await world.until_stopped()
    await world.change(cancel=True)


async def attempted_again(world: World) -> None:
    """What failed is done again; what was done is kept."""
    await some_images_fail(world)
    await world.again()
    await world.until_run(1)
    await world.end(1, Exit.DONE)


async def over_the_deadline(world: World) -> None:
    await world.until_run(0, 1, 2)
    await world.end(0, Exit.DONE)
    await world.change(limits={"deadlineSeconds": 1})
    await world.until_stopped()


async def too_many_failed(world: World) -> None:
    await world.until_run(0, 1, 2)
    await world.end(0, Exit.DONE, failed=True)
    await world.end(1, Exit.DONE, failed=True)
    await world.until_stopped()


async def input_lost(world: World) -> None:
    await world.until_run(0, 1, 2)
    await world.lose_input()
    for index in range(SHARDS):
        await world.end(index, Exit.DONE)


async def a_shard_is_lost(world: World) -> None:
    await world.until_run(0, 1, 2)
    await world.end(1, Exit.POISON_SHARD, "its input is not what the plan says")
    await world.end(0, Exit.DONE)
    await world.end(2, Exit.DONE)


async def stopped_by_a_defect(world: World) -> None:
    await world.until_run(0, 1, 2)
    await world.end(0, Exit.DONE)
    await world.end(1, Exit.DEFECT, "IMAGEBATCH_S3_BUCKET is not set")
    await world.until_stopped()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a user sees of an end, whichever executor ran the batch."""

    phase: str
    reason: str = ""
    message: str = ""
    error: str | None = None
    images: tuple[int, int, int] = (3, 0, 0)
    """Succeeded, failed, skipped."""

    failures: Mapping[str, int] = field(default_factory=dict)


DONE = "Image processing completed successfully."

SCENARIOS: dict[Callable[[World], Awaitable[None]], tuple[dict[str, Any], Outcome]] = {
    all_done: ({}, Outcome("Complete", message=DONE)),
    some_images_fail: (
        {},
        Outcome(
            "Complete",
            message="2 of 3 images; 1 failed (http_status 1)",
            images=(2, 1, 0),
            failures={"http_status": 1},
        ),
    ),
    suspended_and_resumed: ({}, Outcome("Complete", message=DONE)),
    cancelled: (
        {},
        Outcome(
            "Cancelled",
            "Cancelled",
            "Cancelled by its user; 1 of 3 images done, 0 failed, 2 not tried",
            "cancelled",
            (1, 0, 2),
        ),
    ),
    cancelled_while_suspended: (
        {},
        Outcome(
            "Cancelled",
            "Cancelled",
            "Cancelled by its user; 0 of 3 images done, 0 failed, 3 not tried",
            "cancelled",
            (0, 0, 3),
        ),
    ),
    attempted_again: ({}, Outcome("Complete", message=DONE)),
    over_the_deadline: (
        {},
        Outcome(
            "Failed",
            "DeadlineExceeded",
            "Stopped at its deadline; 1 of 3 images done, 0 failed, 2 not tried",
            "the deadline of 1 s passed",
            (1, 0, 2),
        ),
    ),
    too_many_failed: (
        {"limits": {"maxFailedPercent": 50}},
        Outcome(
            "Failed",
            "TooManyImagesFailed",
            "Too many images failed; 0 of 3 images done, 2 failed, 1 not tried",
            "2 images failed, more than the allowed 50%",
            (0, 2, 1),
            {"http_status": 2},
        ),
    ),
    a_shard_is_lost: (
        {},
        Outcome(
            "Complete",
            message="2 of 3 images; 1 failed (shard_failed 1)",
            images=(2, 1, 0),
            failures={"shard_failed": 1},
        ),
    ),
    stopped_by_a_defect: (
        {},
        Outcome(
            "Failed",
            "Defect",
            "Stopped by a defect; 1 of 3 images done, 0 failed, 2 not tried",
            "IMAGEBATCH_S3_BUCKET is not set",
            (1, 0, 2),
        ),
    ),
    input_lost: ({}, Outcome("Failed", "InputLost", "The batch's files are gone")),
}


def outcome_of(request: Request) -> Outcome:
    counts = request.counts
    return Outcome(
        request.phase.value,
        request.reason,
        request.message,
        None if request.reason == "InputLost" else request.error,  # which names the key
        (counts.succeeded, counts.failed, counts.skipped),
        request.errors_by_code,
    )


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_a_job_ends_as_the_table_says(
    scenario: Callable[[World], Awaitable[None]],
    operator: OperatorProcess,  # noqa: ARG001 - it works
    objects: Objects,
    operated_records: Records,
    bucket: ObjectStore,
) -> None:
    spec, expected = SCENARIOS[scenario]
    given = {"source": {"inline": CSV.decode()}, "sharding": {"rowsPerShard": 1}, **spec}
    world = OnJob(objects, operated_records, bucket, await objects.create(new_name("scenario"), given))
    await scenario(world)
    assert outcome_of(await world.ended()) == expected


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_processes_end_as_the_table_says(
    scenario: Callable[[World], Awaitable[None]], records: Records, store: ObjectStore
) -> None:
    spec, expected = SCENARIOS[scenario]
    async with local_batch(records, store, spec) as world:
        await scenario(world)
        assert outcome_of(await world.ended()) == expected


@asynccontextmanager
async def local_batch(
    records: Records, store: ObjectStore, spec: Mapping[str, Any]
) -> AsyncIterator[OnProcesses]:
    plan = ingest(store, "r1", [CSV], rows_per_shard=1).plan
    wanted = BatchSpec.from_spec(spec).as_spec()
    await records.create(NewRequest(request_id="r1", spec=wanted, rows=plan.rows, images=plan.images))
    processes = PlayedProcesses()
    engine = LocalEngine(
        Services("engine", records, AsyncStore(store), processes, lambda: None, BatchMetrics(records))
    )
    running = asyncio.create_task(engine.run())
    try:
        yield OnProcesses(records, store, engine, processes, "r1")
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
