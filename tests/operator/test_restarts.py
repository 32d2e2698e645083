"""An operator that is killed, doubled, or cut off from Postgres: every batch goes on from what is there."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from imagebatch.batch.shard import ShardId
from imagebatch.records import Records
from imagebatch.storage.store import ObjectStore
from imagebatch_testing.cluster.relay import relaying
from imagebatch_testing.control_plane import ControlPlane
from imagebatch_testing.local import csv_of
from imagebatch_testing.postgres_proxy import before
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.waiting import until
from imagebatch_testing.without_nodes import (
    JobController,
    Objects,
    OperatorProcess,
    leave_report,
    new_name,
)

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.timeout(120, func_only=True)]

DATA = csv_of([[f"http://shop.example/{number}.jpg"] for number in range(2)])
INLINE: dict[str, Any] = {"source": {"inline": DATA.decode()}, "sharding": {"rowsPerShard": 1}}


@pytest.fixture
async def own_objects(objects: Objects) -> Objects:
    """In a namespace of the test's own, which no other operator watches."""
    return await objects.in_new_namespace("alone")


Make = Callable[..., OperatorProcess]


@pytest.fixture
def make(
    plane: ControlPlane, operator_environment: dict[str, str], own_objects: Objects, tmp_path: Path
) -> Iterator[Make]:
    """Makes operators for the test's namespace. Their jobrunners have a key of their own, and get links."""
    made: list[OperatorProcess] = []

    def operator(**more: str) -> OperatorProcess:
        environment = {**operator_environment, "IMAGEBATCH_JOBRUNNER_S3_SECRET": "jobrunner-s3", **more}
        log = tmp_path / f"operator-{len(made)}.log"
        made.append(OperatorProcess(plane, environment, log, own_objects.namespace))
        made[-1].start()
        return made[-1]

    yield operator
    for each in made:
        each.stop()


async def finish(objects: Objects, bucket: ObjectStore, made: dict[str, Any]) -> dict[str, Any]:
    name, uid = made["metadata"]["name"], made["metadata"]["uid"]
    job = JobController(objects, await objects.until_job(uid))
    for shard in job.shards:
        await asyncio.to_thread(leave_report, bucket, ShardId(uid, 1, shard))
    with suppress(AssertionError):  # an operator has seen the reports, and deleted it
        await job.complete(*range(len(job.shards)))
    return await objects.until_status(name, lambda status: status.get("phase") == "Complete")


async def test_a_killed_operator_goes_on_where_it_was(
    make: Make, own_objects: Objects, bucket: ObjectStore, operated_records: Records
) -> None:
    first = make()
    made = await own_objects.create(new_name("killed"), INLINE)
    uid = made["metadata"]["uid"]
    job = JobController(own_objects, await own_objects.until_job(uid))
    environment = job.job["spec"]["template"]["spec"]["containers"][0]["env"]
    assert "Signature" in next(each["value"] for each in environment if each["name"] == "IMAGEBATCH_PLAN_URL")
    await asyncio.to_thread(leave_report, bucket, ShardId(uid, 1, 0))
    await job.complete(0)
    first.stop(signal.SIGKILL)
    await asyncio.to_thread(leave_report, bucket, ShardId(uid, 1, 1))
    await job.complete(1)
    make()
    status = await own_objects.until_status(
        made["metadata"]["name"], lambda now: now.get("phase") == "Complete"
    )
    assert status["images"]["succeeded"] == 2
    row = await operated_records.get(uid)
    assert row is not None
    assert row.status == "complete"


async def test_two_operators_end_a_batch_once(make: Make, own_objects: Objects, bucket: ObjectStore) -> None:
    make()
    make()
    made = [await own_objects.create(new_name("doubled"), INLINE) for _ in range(4)]
    ended = await asyncio.gather(*(finish(own_objects, bucket, each) for each in made))
    assert [status["images"]["succeeded"] for status in ended] == [2] * 4


async def test_a_database_that_goes_and_comes_back_is_waited_for(
    make: Make, operator_environment: dict[str, str], own_objects: Objects, bucket: ObjectStore
) -> None:
    url = operator_environment["DATABASE_URL"]
    socket = Path(unquote(url.partition("host=")[2])) / ".s.PGSQL.5432"
    with relaying("127.0.0.1", 0, socket) as relay:
        process = make(DATABASE_URL=url.replace("@/", f"@{relay.address}/").partition("?")[0])
        await until(lambda: "health and metrics are served" in process.said())
        relay.cut()
        made = await own_objects.create(new_name("cut-off"), INLINE)
        status = await own_objects.until_waits(made["metadata"]["name"], "DatabaseUnavailable")
        assert status["phase"] == "Pending"
        relay.mend()
        await finish(own_objects, bucket, made)
        process.stop()


async def test_a_small_batch_costs_eight_statements_at_most(
    make: Make,
    operator_environment: dict[str, str],
    own_objects: Objects,
    bucket: ObjectStore,
    tmp_path: Path,
) -> None:
    """From the object to its end, with the webhook sent and shown."""
    async with before(operator_environment["DATABASE_URL"], tmp_path) as proxy, Receiver() as receiver:
        process = make(DATABASE_URL=proxy.url.replace("/postgres?", "/operated?"))
        await until(lambda: "health and metrics are served" in process.said())
        for first_look in ("min(due_at)", "min(collect_at)"):
            await until(lambda look=first_look: any(look in words for words in proxy.statements))  # type: ignore[misc]
        proxy.statements.clear()
        made = await own_objects.create(
            new_name("cheap"), {**INLINE, "webhook": {"url": receiver.url("/hook")}}
        )
        await finish(own_objects, bucket, made)
        await own_objects.until_status(
            made["metadata"]["name"], lambda status: status.get("webhook", {}).get("state") == "delivered"
        )
        await asyncio.to_thread(process.stop)  # through the proxy, which this loop drives
    kinds = [" ".join(words.split())[:60] for words in proxy.statements]
    assert 5 <= len(kinds) <= 8, kinds


async def test_an_operator_waits_for_its_database(make: Make, own_objects: Objects, unused_port: int) -> None:
    process = make(DATABASE_URL=f"postgresql://nobody@127.0.0.1:{unused_port}/none")
    await until(lambda: "waiting for Postgres" in process.said())
    assert await own_objects.ask("GET", own_objects.batches)


def test_settings_that_are_not_usable_are_named() -> None:
    command = [sys.executable, "-m", "imagebatch_operator"]
    done = subprocess.run(command, env={}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "IMAGEBATCH_NAMESPACES is not set" in done.stdout + done.stderr
