"""The operator is killed at each of its calls to the API server, Postgres and S3 in turn.

Each time the next one ends the batch as an undisturbed operator does: the same status, CSVs, one Job a look, and
one webhook.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from imagebatch.batch.shard import ShardId
from imagebatch.errors import AlreadyExistsError
from imagebatch.records import Records
from imagebatch.storage import keys
from imagebatch.storage.s3 import S3Store
from imagebatch_testing.control_plane import ControlPlane
from imagebatch_testing.crash_point import CrashPoint, let_claims_end
from imagebatch_testing.findings import Finding
from imagebatch_testing.http_proxy import proxied
from imagebatch_testing.operated import INLINE, ROWS, Batch
from imagebatch_testing.postgres_proxy import before
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.servers import Servers
from imagebatch_testing.waiting import until
from imagebatch_testing.without_nodes import JobController, Objects, OperatorProcess, leave_report, new_name

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.timeout(900, func_only=True)]

MOST_CALLS = 200
Scenario = Callable[["Crashing", Batch], Coroutine[None, None, None]]
"""What is done to the batch before its Job is done."""

LOOK_S = 0.02


@dataclass
class Crashing:
    """An operator whose calls are counted, and who plays its Jobs."""

    operator: OperatorProcess
    point: CrashPoint
    objects: Objects
    records: Records
    store: S3Store
    receiver: Receiver
    database_url: str
    calls: dict[int, str] = field(default_factory=dict)
    stored: int = 0
    _is_over_now: bool = False

    async def run(self, number: int, scenario: Scenario) -> "Left":
        """A batch from its object to its end, with the operator killed at its `number`-th call; 0 is never."""
        self.point.arm(number)
        made = await self.objects.create(
            new_name(f"crash-{number}"), {**INLINE, "webhook": {"url": self.receiver.url("/hook")}}
        )
        name, uid = made["metadata"]["name"], made["metadata"]["uid"]
        self._is_over_now = False
        reviving = asyncio.create_task(self._revive())
        async with asyncio.timeout(90):
            await scenario(self, Batch(name, uid, self.objects, self.store))
            playing = asyncio.create_task(self._play(uid))
            await until(lambda: self._is_over(name, uid), 90)
        playing.cancel()
        with suppress(asyncio.CancelledError):
            await playing
        self._is_over_now = True
        await reviving
        self.calls[number] = self.point.crashed_at
        await self._go_on()
        left = await self._left(name, uid)
        await self._remove(name)
        return left

    async def _remove(self, name: str) -> None:
        """Delete the object, so that only one is looked at."""
        self.point.arm(0)
        await self.objects.delete(name)

        async def is_gone() -> bool:
            return await self.objects.is_gone(name)

        await until(is_gone, 60)

    async def _revive(self) -> None:
        """Start the operator again whenever it was killed, until the batch is over."""
        while not self._is_over_now:
            await self._go_on()
            await asyncio.sleep(LOOK_S)

    async def _play(self, uid: str) -> None:
        """The Job controller, as often as a Job is made."""
        while True:
            for job in await self.objects.jobs(uid):
                if not job.get("status", {}).get("conditions"):
                    for index in range(ROWS):
                        with suppress(AlreadyExistsError):
                            shard = ShardId(uid, _attempt_of(job), index)
                            await asyncio.to_thread(leave_report, self.store, shard)
                    with suppress(AssertionError):  # it was deleted meanwhile
                        await JobController(self.objects, job).complete(*range(ROWS))
            await asyncio.sleep(LOOK_S)

    async def _is_over(self, name: str, uid: str) -> bool:
        status = await self.objects.status(name)
        is_told = status.get("webhook", {}).get("state") == "delivered"
        return is_told and status.get("phase") == "Complete" and not await self.objects.jobs(uid)

    async def _go_on(self) -> None:
        if self.point.crashed_at and self.point.at:
            self.point.at = 0
            await asyncio.to_thread(self.operator.stop)
            await let_claims_end(self.database_url)
            self.operator.start()

    async def _left(self, name: str, uid: str) -> "Left":
        row = await self.records.get(uid)
        assert row is not None
        csvs = [key for key in (row.output_key, row.errors_key, row.report_key) if key]
        texts = [self.store.get(key).decode().replace(keys.image_prefix(uid), "") for key in csvs]
        status = await self.objects.status(name)
        self.stored += status["images"]["succeeded"]
        ids = {
            request.headers["webhook-id"]
            for request in self.receiver.requests
            if uid.encode() in request.body
        }
        conditions = {found["type"]: found["status"] for found in status["conditions"]}
        return Left(row.status, status["phase"], status["images"], conditions, texts, len(ids))


def _attempt_of(job: dict[str, Any]) -> int:
    environment = job["spec"]["template"]["spec"]["containers"][0]["env"]
    return int(next(each["value"] for each in environment if each["name"] == "IMAGEBATCH_ATTEMPT"))


async def is_left_alone(_: Crashing, __: Batch) -> None:
    """Nobody changes it."""


async def is_suspended_and_resumed(crashing: Crashing, batch: Batch) -> None:
    await batch.job()
    await crashing.objects.change(batch.name, suspend=True)
    await batch.job(lambda job: job["spec"].get("suspend") is True)
    await crashing.objects.change(batch.name, suspend=False)


async def is_cancelled_and_tried_again(crashing: Crashing, batch: Batch) -> None:
    await batch.job()
    await crashing.objects.change(batch.name, cancel=True)
    await crashing.objects.until_status(batch.name, lambda status: status.get("phase") == "Cancelled")
    await crashing.objects.change(batch.name, cancel=False, attempt=2)


@dataclass(frozen=True)
class Left:
    """What a batch left, without what derives from its id."""

    status: str
    phase: str
    images: dict[str, Any]
    conditions: dict[str, str]
    csvs: list[str]
    webhooks: int


@pytest.fixture
async def crashing(
    plane: ControlPlane,
    operator_environment: dict[str, str],
    servers: Servers,
    objects: Objects,
    bucket: S3Store,
    operated_records: Records,
    receiver: Receiver,
    tmp_path: Path,
) -> AsyncIterator[Crashing]:
    own = await objects.in_new_namespace("crash")
    async with (
        before(operator_environment["DATABASE_URL"], tmp_path) as postgres,
        proxied(servers.s3.s3_endpoint) as s3,
        proxied(plane.url, plane.trust) as api,
    ):
        env = {
            **operator_environment,
            "DATABASE_URL": postgres.url.replace("/postgres?", "/operated?"),
            "IMAGEBATCH_S3_ENDPOINT": s3.url,
            "KUBECONFIG": str(plane.kubeconfig_of(api.url, tmp_path)),
        }
        operator = OperatorProcess(plane, env, tmp_path / "operator.log", own.namespace)
        point = CrashPoint(operator.kill)
        postgres.crash_point = s3.crash_point = api.crash_point = point
        operator.start()
        try:
            await until(lambda: "health and metrics are served" in operator.said())
            yield Crashing(
                operator,
                point,
                own,
                operated_records,
                bucket,
                receiver,
                operator_environment["DATABASE_URL"],
            )
        finally:
            await asyncio.to_thread(operator.stop)  # through the proxies, which this loop drives


@pytest.mark.parametrize(
    ("scenario", "step", "webhooks"),
    [(is_left_alone, 1, 1), (is_suspended_and_resumed, 5, 1), (is_cancelled_and_tried_again, 5, 2)],
    ids=lambda given: getattr(given, "__name__", ""),
)
async def test_wherever_the_operator_is_killed_the_batch_ends_the_same(
    crashing: Crashing, scenario: Scenario, step: int, webhooks: int, finding: Finding
) -> None:
    """At each call, of a batch that is changed meanwhile at each fifth; each attempt has its one webhook."""
    undisturbed = await crashing.run(0, scenario)
    assert (undisturbed.status, undisturbed.phase) == ("complete", "Complete")
    assert undisturbed.webhooks == webhooks
    for number in range(1, MOST_CALLS, step):
        left = await crashing.run(number, scenario)
        assert left == undisturbed, f"killed at call {number}, {crashing.calls[number]}"
        if not crashing.calls[number]:
            break
    else:
        pytest.fail("it makes more calls than were tried")
    runs = len(crashing.calls)
    finding(
        f"the operator: killed at {'each' if step == 1 else 'every fifth'} call to the API server, Postgres and S3 "
        f"of a small batch that {scenario.__name__.replace('_', ' ')}",
        times=runs - 2,  # neither the first run nor the last is disturbed
        links=runs * ROWS,
        lost=runs * ROWS - crashing.stored,
        again=0,
    )
