"""The operator removes what is no longer kept: the object says so, and another attempt is refused."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagebatch.batch.shard import ShardId
from imagebatch.records import Records
from imagebatch.storage import keys
from imagebatch.storage.s3 import S3Store
from imagebatch_testing.control_plane import ControlPlane
from imagebatch_testing.local import csv_of
from imagebatch_testing.waiting import until
from imagebatch_testing.without_nodes import JobController, Objects, OperatorProcess, leave_report, new_name

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.timeout(120, func_only=True)]

DATA = csv_of([[f"http://shop.example/{number}.jpg"] for number in range(2)])
INLINE: dict[str, Any] = {"source": {"inline": DATA.decode()}}
AT_ONCE = 1e-8

Make = Callable[..., OperatorProcess]


@pytest.fixture
async def own_objects(objects: Objects) -> Objects:
    """In a namespace of the test's own, which no other operator watches."""
    return await objects.in_new_namespace("kept")


@pytest.fixture
def make(
    plane: ControlPlane, operator_environment: dict[str, str], own_objects: Objects, tmp_path: Path
) -> Iterator[Make]:
    made: list[OperatorProcess] = []

    def operator(**more: str) -> OperatorProcess:
        log = tmp_path / f"operator-{len(made)}.log"
        made.append(OperatorProcess(plane, {**operator_environment, **more}, log, own_objects.namespace))
        made[-1].start()
        return made[-1]

    yield operator
    for each in made:
        each.stop()


async def ended(objects: Objects, bucket: S3Store, spec: dict[str, Any]) -> dict[str, Any]:
    made = await objects.create(new_name("kept"), INLINE | spec)
    name, uid = made["metadata"]["name"], made["metadata"]["uid"]
    job = JobController(objects, await objects.until_job(uid))
    await asyncio.to_thread(leave_report, bucket, ShardId(uid, 1, 0))
    await job.complete(0)
    await objects.until_status(name, lambda status: status.get("phase") == "Complete")
    return made


def working_files(bucket: S3Store, uid: str) -> list[str]:
    return [stored.key for stored in bucket.list(keys.batch_prefix(uid))]


async def test_what_is_no_longer_kept_goes_and_the_object_says_so(
    make: Make, own_objects: Objects, bucket: S3Store, operated_records: Records
) -> None:
    first = make()
    made = await ended(own_objects, bucket, {"keepDays": {"workingFiles": AT_ONCE}})
    other = await ended(own_objects, bucket, {"keepDays": {"workingFiles": 0}})
    name, uid = made["metadata"]["name"], made["metadata"]["uid"]
    assert working_files(bucket, uid)
    first.stop()
    make()
    status = await own_objects.until_status(name, lambda status: "workingFiles" in status.get("removed", {}))
    await until(lambda: not working_files(bucket, uid))
    assert (status["phase"], "outputCsv" in status) == ("Complete", True)
    assert working_files(bucket, other["metadata"]["uid"])
    await own_objects.change(name, attempt=2)
    status = await own_objects.until_status(name, lambda status: status.get("attempt") == 2)
    assert (status["phase"], status["reason"]) == ("Failed", "FilesRemoved")
    assert "submit the CSV again" in status["error"]
    assert "outputCsv" in status
    row = await operated_records.get(uid)
    assert row is not None
    assert (row.status, row.attempt) == ("complete", 1)
    # days may be changed after the end
    await own_objects.change(other["metadata"]["name"], keepDays={"outputs": 5000})

    async def has_them() -> bool:
        found = await operated_records.get(other["metadata"]["uid"])
        return found is not None and found.spec["keepDays"] == {"workingFiles": 0, "outputs": 5000}

    await until(has_them)


async def test_gc_in_the_operators_pod_shows_and_removes(
    make: Make,
    own_objects: Objects,
    bucket: S3Store,
) -> None:
    process = make()
    made = await ended(own_objects, bucket, {"keepDays": {"outputs": AT_ONCE}})
    uid = made["metadata"]["uid"]

    async def gc(*words: str) -> dict[str, Any]:
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "imagebatch_operator", "gc", "--json", *words,
            env=process.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await running.communicate()
        assert running.returncode == 0, err.decode()
        found: dict[str, Any] = json.loads(out)
        return found

    def of_batch(found: dict[str, Any]) -> list[Any]:
        return [each for each in found["batches"] if each["request_id"] == uid]

    shown = of_batch(await gc("--dry-run"))
    assert [(each["kind"], each["objects"]) for each in shown] == [("outputs", 3)]
    assert bucket.head(keys.output(uid)) is not None
    assert of_batch(await gc()) == shown
    assert bucket.head(keys.output(uid)) is None
    assert of_batch(await gc()) == []
