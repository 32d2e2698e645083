"""The real operator against a real API server: what it makes, says and removes. No node runs anything."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from imagebatch.batch.background import DOWNLOADS_AT_ONCE
from imagebatch.batch.exit_codes import Exit
from imagebatch.batch.shard import ShardId
from imagebatch.records import Records
from imagebatch.storage import keys
from imagebatch.storage.store import CSV, ObjectStore
from imagebatch_testing.local import csv_of
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.waiting import until
from imagebatch_testing.without_nodes import (
    NAMESPACE,
    JobController,
    Objects,
    OperatorProcess,
    leave_report,
    new_name,
)

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.integration,
    pytest.mark.timeout(120, func_only=True),
    pytest.mark.usefixtures("operator"),
]

ROWS = 2
DATA = csv_of([[f"http://shop.example/{number}.jpg"] for number in range(ROWS)])
INLINE: dict[str, Any] = {"source": {"inline": DATA.decode()}, "sharding": {"rowsPerShard": 1}}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(slots=True)
class Batch:
    """An object of a test, and who plays its Job."""

    name: str
    uid: str
    objects: Objects
    store: ObjectStore

    async def job(self, holds: Callable[[dict[str, Any]], bool] = lambda _: True) -> JobController:
        return JobController(self.objects, await self.objects.until_job(self.uid, holds))

    async def report(self, *indexes: int, request_id: str = "") -> None:
        for index in indexes:
            shard = ShardId(request_id or self.uid, 1, index)
            await asyncio.to_thread(leave_report, self.store, shard)

    async def finish(self) -> dict[str, Any]:
        """Have the shards done; the status of the end."""
        job = await self.job()
        await self.report(*range(ROWS))
        await job.complete(*range(ROWS))
        return await self.until_phase("Complete")

    async def until_phase(self, phase: str) -> dict[str, Any]:
        return await self.objects.until_status(self.name, lambda status: status.get("phase") == phase)

    async def until_events(self, *reasons: str) -> list[str]:
        """The reasons of its Events, once all of these are there: they are posted after the status is written."""
        found: list[str] = []

        async def are_there() -> bool:
            found[:] = [event["reason"] for event in await self.objects.events(self.name)]
            return set(reasons) <= set(found)

        await until(are_there)
        return found


Make = Callable[..., Awaitable[Batch]]


@pytest.fixture
def make(objects: Objects, bucket: ObjectStore) -> Make:
    async def create(stem: str, given: dict[str, Any] | None = None, **spec: Any) -> Batch:
        made = await objects.create(new_name(stem), {**(INLINE if given is None else given), **spec})
        return Batch(made["metadata"]["name"], made["metadata"]["uid"], objects, bucket)

    return create


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((found for found in status.get("conditions", ()) if found["type"] == kind), {})


async def test_a_batch_runs_through(make: Make, operated_records: Records) -> None:
    batch = await make("through")
    status = await batch.finish()
    assert (status["images"]["succeeded"], status["shards"]["done"], status["progress"]) == (2, 2, "2/2")
    assert condition(status, "Finished")["status"] == "True"
    await batch.until_events("Planned", "JobCreated", "Complete")
    row = await operated_records.get(batch.uid)
    assert row is not None
    assert (row.status, row.rows, row.counts.total, len(row.input_sha256)) == ("complete", 2, 2, 64)
    await until(lambda: _is_empty(batch))
    assert batch.store.head(keys.output(batch.uid)) is not None


async def _is_empty(batch: Batch) -> bool:
    return await batch.objects.jobs(batch.uid) == []


async def test_progress_is_shown_while_shards_run(make: Make) -> None:
    batch = await make("moving")
    job = await batch.job()
    await job.run(0, 1)
    await batch.report(0)
    await job.complete(0)
    status = await batch.objects.until_status(batch.name, lambda now: now.get("progress") == "1/2")
    assert status["shards"] == {"total": 2, "done": 1, "active": 1, "failed": 0}
    await batch.report(1)
    await job.complete(1)
    await batch.until_phase("Complete")


@pytest.mark.parametrize("kind", ["text", "binary"])
async def test_a_config_map_is_waited_for(make: Make, kind: str) -> None:
    name = new_name("products")
    source = {"source": {"configMap": {"name": name, "key": "products.csv"}}}
    batch = await make("early", {**source, "sharding": {"rowsPerShard": 1}})
    status = await batch.objects.until_waits(batch.name, "SourceNotReady")
    assert f"no ConfigMap {name}" in condition(status, "Progressing")["message"]
    assert status["phase"] == "Planning"
    content = {"data": {"products.csv": DATA.decode()}}
    if kind == "binary":
        content = {"binaryData": {"products.csv": base64.b64encode(DATA).decode()}}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **content}
    await batch.objects.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/configmaps", json=body)
    await batch.finish()
    assert (await batch.until_events("Complete")).count("SourceNotReady") == 1


async def test_a_config_map_without_the_key_is_waited_for(make: Make) -> None:
    name = new_name("products")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"other": "1"}}
    batch = await make("keyless", {"source": {"configMap": {"name": name, "key": "products.csv"}}})
    await batch.objects.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/configmaps", json=body)

    def says_so(status: dict[str, Any]) -> bool:
        return "no key products.csv" in str(condition(status, "Progressing").get("message"))

    await batch.objects.until_status(batch.name, says_so)


async def test_a_file_on_s3_is_read(make: Make, bucket: ObjectStore) -> None:
    key = f"{keys.imports_prefix(NAMESPACE)}{new_name('products')}.csv"
    bucket.put(key, DATA, CSV)
    batch = await make("imported", {"source": {"s3": {"key": key}}, "sharding": {"rowsPerShard": 1}})
    await batch.finish()


async def test_a_file_behind_a_url_is_read(make: Make) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(DATA) + DATA)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        source = {"source": {"url": f"http://127.0.0.1:{port}/products.csv"}}
        batch = await make("downloaded", {**source, "sharding": {"rowsPerShard": 1}})
        await batch.finish()


async def test_sources_that_drip_hold_up_nobody(operator: OperatorProcess, make: Make) -> None:
    """More of them than may be read at once: others begin, and a cancel and a delete act at once."""

    is_over = asyncio.Event()
    serving: set[asyncio.Task[None] | None] = set()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not is_over.is_set():
                writer.write(b"S")
                await writer.drain()
                with suppress(TimeoutError):
                    await asyncio.wait_for(is_over.wait(), 1)
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    async with server:
        source = {"source": {"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/products.csv"}}
        dripping = [await make("drip", source) for _ in range(DOWNLOADS_AT_ONCE + 2)]

        async def one_is_queued() -> bool:
            statuses = [await each.objects.status(each.name) for each in dripping]
            return any(status.get("reason") == "Queued" for status in statuses)

        await until(one_is_queued)
        quick = await make("quick")
        await quick.finish()
        await dripping[0].objects.change(dripping[0].name, cancel=True)
        await dripping[0].until_phase("Cancelled")
        await dripping[1].objects.delete(dripping[1].name)
        await until(lambda: dripping[1].objects.is_gone(dripping[1].name))
        async with httpx.AsyncClient(base_url=operator.url, trust_env=False) as client:
            assert (await client.get("/healthz")).status_code == 200
        for each in dripping[2:]:
            await each.objects.change(each.name, cancel=True)
        for each in dripping[2:]:
            await each.until_phase("Cancelled")
        is_over.set()
        await asyncio.gather(*(task for task in serving if task is not None))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ({"inline": "Serial Number,Product Name\n1,Shoe\n"}, "Input Image Urls"),
        ({"s3": {"key": "imports/another/products.csv"}}, f"imports/{NAMESPACE}/"),
        ({"s3": {"key": f"imports/{NAMESPACE}/no-such.csv"}}, "no object"),
        ({"url": "http://169.254.169.254/latest.csv"}, "169.254.169.254"),
    ],
    ids=["no links", "another's", "not there", "forbidden"],
)
async def test_an_unusable_source_fails_the_batch(make: Make, source: dict[str, Any], says: str) -> None:
    batch = await make("unusable", {"source": source})
    status = await batch.until_phase("Failed")
    assert says in status["error"]
    assert status["reason"] == "SourceNotUsable"
    assert condition(status, "Failed")["reason"] == "SourceNotUsable"
    await batch.until_events("Failed")


async def test_a_taken_request_id_is_refused(make: Make) -> None:
    request_id = new_name("spring")
    first = await make("owner", requestId=request_id)
    job = await first.job()
    second = await make("claimant", requestId=request_id)
    status = await second.until_phase("Failed")
    assert "belongs to another object" in status["error"]
    assert status["reason"] == "RequestIdTaken"
    await first.report(0, 1, request_id=request_id)
    await job.complete(0, 1)
    await first.until_phase("Complete")


async def test_the_ttl_removes_the_object_and_the_row_stays(make: Make, operated_records: Records) -> None:
    batch = await make("short", ttlSecondsAfterFinished=0)
    job = await batch.job()
    await batch.report(0, 1)
    await job.complete(0, 1)
    await until(lambda: batch.objects.is_gone(batch.name))
    row = await operated_records.get(batch.uid)
    assert row is not None
    assert row.status == "complete"


async def test_a_deletion_while_it_runs_leaves_nothing(make: Make, operated_records: Records) -> None:
    batch = await make("deleted")
    job = await batch.job()
    await job.run(0, 1)
    await batch.report(0)
    await batch.objects.delete(batch.name)
    await until(lambda: _is_empty(batch))
    await job.remove_pods()
    await until(lambda: batch.objects.is_gone(batch.name))
    row = await operated_records.get(batch.uid)
    assert row is not None
    assert (row.status, row.error) == ("failed", "deleted")
    assert list(batch.store.list(keys.batch_prefix(batch.uid))) == []


@pytest.mark.parametrize("is_signed", [False, True], ids=["unsigned", "signed"])
async def test_a_webhook_is_sent_and_shown(make: Make, *, is_signed: bool) -> None:
    async with Receiver() as receiver:
        webhook: dict[str, Any] = {"url": receiver.url("/hook")}
        if is_signed:
            webhook["secretRef"] = {"name": await _new_secret(make)}
        batch = await make("hooked", webhook=webhook)
        await batch.finish()
        shown = await batch.objects.until_status(
            batch.name, lambda status: condition(status, "WebhookDelivered").get("status") == "True"
        )
        (request,) = receiver.requests
    assert shown["webhook"] == {"state": "delivered", "tries": 1}
    assert json.loads(request.body)["status"] == "complete"
    assert ("webhook-signature" in request.headers) == is_signed
    await batch.until_events("WebhookDelivered")


async def _new_secret(make: Make) -> str:
    name = new_name("secret")
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "stringData": {"secret": SECRET},
    }
    batch = await make("holder", suspend=True)
    await batch.objects.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/secrets", json=body)
    return name


async def test_a_webhook_without_its_secret_says_so(make: Make) -> None:
    async with Receiver() as receiver:
        webhook = {"url": receiver.url("/never"), "secretRef": {"name": "no-such-secret"}}
        batch = await make("unsigned", webhook=webhook)
        await batch.finish()
        status = await batch.objects.until_status(
            batch.name, lambda status: condition(status, "WebhookDelivered").get("reason") == "Retrying"
        )
        assert "no Secret no-such-secret" in condition(status, "WebhookDelivered")["message"]
        assert receiver.requests == []


async def test_another_attempt_is_an_event(make: Make) -> None:
    batch = await make("again")
    job = await batch.job()
    await batch.report(0, 1)
    await job.complete(0, 1)
    await batch.until_phase("Complete")
    await batch.objects.change(batch.name, attempt=2)
    status = await batch.objects.until_status(batch.name, lambda now: now.get("attempt") == 2)
    assert status["images"]["total"] in {0, 2}
    status = await batch.objects.until_status(
        batch.name, lambda now: now.get("attempt") == 2 and now["phase"] == "Complete"
    )
    assert status["images"]["succeeded"] == 2, "nothing had failed, so nothing is done again"
    await batch.until_events("AttemptStarted")


@pytest.mark.parametrize(
    ("state", "reason", "says"),
    [
        (
            {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
            "ImageNotPulled",
            "no such",
        ),
        (
            {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "s3" not found'}},
            "PodNotStarted",
            '"s3" not found',
        ),
    ],
    ids=["image", "secret"],
)
async def test_a_pod_that_does_not_start_is_shown(
    make: Make, state: dict[str, Any], reason: str, says: str
) -> None:
    batch = await make("stuck")
    job = await batch.job()
    await job.make_pod(0, state)
    status = await batch.objects.until_waits(batch.name, reason)
    assert says in condition(status, "Progressing")["message"]
    assert condition(status, "Progressing")["status"] == "False"


async def test_a_pod_without_a_node_is_shown(make: Make) -> None:
    batch = await make("homeless")
    job = await batch.job()
    unschedulable = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes",
    }
    await job.make_pod(0, {"waiting": {"reason": "x"}}, conditions=[unschedulable])
    status = await batch.objects.until_waits(batch.name, "Unschedulable")
    assert "0/1 nodes" in condition(status, "Progressing")["message"]


async def test_a_job_that_may_make_no_pods_is_shown(make: Make) -> None:
    batch = await make("quota")
    job = await batch.job()
    event = {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": new_name("event"), "namespace": NAMESPACE},
        "involvedObject": {"kind": "Job", "name": job.name, "namespace": NAMESPACE},
        "reason": "FailedCreate", "message": "exceeded quota: pods",
    }  # fmt: skip
    await batch.objects.ask("POST", f"/api/v1/namespaces/{NAMESPACE}/events", json=event)
    status = await batch.objects.until_waits(batch.name, "PodsNotCreated")
    assert "exceeded quota" in condition(status, "Progressing")["message"]


async def test_an_end_that_will_be_tried_again_is_shown(make: Make) -> None:
    batch = await make("troubled")
    job = await batch.job()
    await job.run(0)
    await job.end_pod(0, Exit.TEMPORARY, "S3: AccessDenied")
    status = await batch.objects.until_waits(batch.name, "StoreUnavailable")
    assert "AccessDenied" in condition(status, "Progressing")["message"]


async def test_the_same_refusal_three_times_is_a_defect(make: Make) -> None:
    batch = await make("refused")
    job = await batch.job()
    for second in range(3):
        await job.run(0)
        await job.end_pod(0, Exit.SYSTEM, "no memory", at=f"2026-01-01T00:00:0{second}Z")
    status = await batch.until_phase("Failed")
    assert (status["reason"], status["images"]["skipped"]) == ("Defect", 2)
    assert "no memory" in status["error"]


async def test_a_deleted_job_is_made_again_over_what_is_open(make: Make) -> None:
    batch = await make("remade")
    job = await batch.job()
    await batch.report(1)
    await job.complete(1)
    await batch.objects.until_status(batch.name, lambda status: status.get("progress") == "1/2")
    uid = job.job["metadata"]["uid"]
    path = f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{job.name}"
    await batch.objects.ask("DELETE", path, json={"propagationPolicy": "Background"})
    again = await batch.job(lambda found: found["metadata"]["uid"] != uid)
    assert again.shards == (0,)
    await batch.report(0)
    await again.complete(0)
    await batch.until_phase("Complete")


async def test_parallelism_may_change(make: Make) -> None:
    batch = await make("wider", sharding={"rowsPerShard": 1, "parallelism": 1})
    await batch.job(lambda job: job["spec"]["parallelism"] == 1)
    await batch.objects.change(batch.name, sharding={"rowsPerShard": 1, "parallelism": 7})
    await batch.job(lambda job: job["spec"]["parallelism"] == ROWS)


async def test_expiring_links_make_a_new_job(make: Make) -> None:
    batch = await make("expiring")
    job = await batch.job()
    uid, path = job.job["metadata"]["uid"], f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{job.name}"
    soon = {"metadata": {"annotations": {"imagebatch.dev/links-until": "2026-01-01T00:00:00+00:00"}}}
    merge = {"Content-Type": "application/merge-patch+json"}
    await batch.objects.ask("PATCH", path, json=soon, headers=merge)
    await batch.job(lambda found: found["metadata"]["uid"] != uid)


async def test_a_lost_row_is_written_again_from_its_object(make: Make, operated_records: Records) -> None:
    batch = await make("lost-row")
    job = await batch.job()
    await operated_records.delete(batch.uid)
    await batch.report(0, 1)
    await job.complete(0, 1)
    await batch.until_phase("Complete")
    row = await operated_records.get(batch.uid)
    assert row is not None
    assert (row.status, row.counts.succeeded) == ("complete", 2)


async def test_the_operator_says_how_it_is(operator: OperatorProcess, make: Make) -> None:
    batch = await make("counted")
    await batch.finish()
    async with httpx.AsyncClient(base_url=operator.url, trust_env=False) as client:
        live, ready, metrics = [await client.get(path) for path in ("/healthz", "/readyz", "/metrics")]
    assert (live.json()["status"], ready.json()) == ("ok", {"status": "ready"})
    assert 'imagebatch_batches_ended_total{phase="Complete"}' in metrics.text
    assert "imagebatch_reconciles_total" in metrics.text
