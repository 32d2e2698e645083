"""Rows whose ImageBatch is gone: they say so, and are made again by what `restore` prints."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagebatch.batch.shard import ShardId
from imagebatch.manifests import of_row
from imagebatch.records import NewRequest, Records
from imagebatch.storage.s3 import S3Store
from imagebatch_testing.control_plane import ControlPlane
from imagebatch_testing.operated import INLINE, ROWS
from imagebatch_testing.waiting import until
from imagebatch_testing.without_nodes import (
    MERGE,
    JobController,
    Objects,
    OperatorProcess,
    leave_report,
    new_name,
)

from .conftest import a_request

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.timeout(120, func_only=True)]

Make = Callable[[], OperatorProcess]


@pytest.fixture
async def own_objects(objects: Objects) -> Objects:
    return await objects.in_new_namespace("restored")


@pytest.fixture
def make(
    plane: ControlPlane, operator_environment: dict[str, str], own_objects: Objects, tmp_path: Path
) -> Iterator[Make]:
    made: list[OperatorProcess] = []

    def operator() -> OperatorProcess:
        log = tmp_path / f"operator-{len(made)}.log"
        made.append(OperatorProcess(plane, operator_environment, log, own_objects.namespace))
        made[-1].start()
        return made[-1]

    yield operator
    for each in made:
        each.stop()


@pytest.fixture
def restore(
    plane: ControlPlane, operator_environment: dict[str, str], own_objects: Objects
) -> Callable[..., subprocess.CompletedProcess[str]]:
    environment = {
        **operator_environment,
        "KUBECONFIG": str(plane.kubeconfig),
        "IMAGEBATCH_NAMESPACES": own_objects.namespace,
        "IMAGEBATCH_JOBRUNNER_IMAGE": "imagebatch-jobrunner:1",
        "IMAGEBATCH_LOG_LEVEL": "error",
    }

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "imagebatch_operator", "restore", *words]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return run


async def lose(objects: Objects, name: str) -> None:
    """The object goes without anything being cleaned up, as the loss of a cluster takes it."""
    await objects.ask(
        "PATCH", f"{objects.batches}/{name}", json={"metadata": {"finalizers": None}}, headers=MERGE
    )
    await objects.delete(name)
    await until(lambda: objects.is_gone(name))


def of(printed: str, request_id: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(printed)["items"]
    return [item for item in items if item["spec"]["requestId"] == request_id]


async def test_a_batch_whose_object_is_gone_says_so_and_goes_on_when_it_is_made_again(
    make: Make,
    restore: Callable[..., subprocess.CompletedProcess[str]],
    own_objects: Objects,
    bucket: S3Store,
    operated_records: Records,
) -> None:
    first = make()
    webhook = {"webhook": {"url": "http://127.0.0.1:9/hook", "secretRef": {"name": "hook"}}}
    made = await own_objects.create(new_name("lost"), {**INLINE, **webhook, "compression": {"quality": "55"}})
    name, uid = made["metadata"]["name"], made["metadata"]["uid"]
    job = JobController(own_objects, await own_objects.until_job(uid))
    await asyncio.to_thread(leave_report, bucket, ShardId(uid, 1, 0))
    first.stop()
    await lose(own_objects, name)
    await own_objects.ask("DELETE", f"{own_objects.job_objects}/{job.name}")

    second = make()
    await until(lambda: "a pending batch has no object" in second.said())

    async def says_so() -> bool:
        row = await operated_records.get(uid)
        return row is not None and row.waiting is not None and row.waiting.reason == "ObjectMissing"

    await until(says_so)

    dry = await asyncio.to_thread(restore, "--dry-run")
    assert f"{own_objects.namespace}/{name} (request id {uid}): would be made again" in dry.stderr
    row = await operated_records.get(uid)
    assert row is not None
    assert row.owner == uid

    printed = await asyncio.to_thread(restore)
    (item,) = of(printed.stdout, uid)
    assert of((await asyncio.to_thread(restore)).stdout, uid) == [item], "it prints the same again"
    assert (item["spec"]["compression"]["quality"], item["spec"]["webhook"]) == (
        "55",
        {**webhook["webhook"], "secretRef": {"name": "hook", "key": "secret"}},
    )

    stolen = json.loads(json.dumps(item))
    stolen["metadata"]["name"] = "thief"
    stolen["metadata"]["annotations"]["imagebatch.dev/restores"] = "guessed"
    await own_objects.ask("POST", own_objects.batches, json=stolen)
    refused = await own_objects.until_status("thief", lambda status: status.get("phase") == "Failed")
    assert refused["reason"] == "RequestIdTaken"

    again = await own_objects.ask("POST", own_objects.batches, json=item)
    new_uid = again["metadata"]["uid"]
    job = JobController(own_objects, await own_objects.until_job(new_uid))
    assert job.shards == (1,), "what was done is not done again"
    await asyncio.to_thread(leave_report, bucket, ShardId(uid, 1, 1))
    await job.complete(0)
    status = await own_objects.until_status(name, lambda now: now.get("phase") == "Complete")
    assert status["images"]["succeeded"] == ROWS
    row = await operated_records.get(uid)
    assert row is not None
    assert (row.owner, row.status) == (new_uid, "complete")


@pytest.mark.usefixtures("operator")
async def test_what_was_not_read_yet_must_be_applied_again(
    restore: Callable[..., subprocess.CompletedProcess[str]],
    own_objects: Objects,
    operated_records: Records,
) -> None:
    request_id = new_name("unread")
    about = f"{own_objects.namespace}/unread"
    await operated_records.create(NewRequest(request_id=request_id, owner="uid-of-unread", object=about))
    ended = await asyncio.to_thread(restore)
    await operated_records.delete(request_id)
    assert ended.returncode == 1
    assert f"{about} (request id {request_id}): its source was not read yet, apply it again" in ended.stderr
    assert of(ended.stdout, request_id) == []


def test_the_object_of_a_row_is_as_it_was() -> None:
    row = replace(
        a_request(), object="shop/spring", attempt=3, webhook_url="https://h.example/", webhook_secret="shop/s/k",
        uploaded_by="alice", spec={"suspend": True},
    )  # fmt: skip
    made = of_row(row, "w")
    assert (made["metadata"]["namespace"], made["metadata"]["name"]) == ("shop", "spring")
    assert made["metadata"]["annotations"]["imagebatch.dev/restores"] == "w"
    assert made["metadata"]["annotations"]["imagebatch.dev/uploaded-by"] == "alice"
    assert made["spec"] == {
        "requestId": row.request_id,
        "attempt": 3,
        "suspend": True,
        "source": {"s3": {"key": f"batches/{row.request_id}/input.csv"}},
        "webhook": {"url": "https://h.example/", "secretRef": {"name": "s", "key": "k"}},
    }
