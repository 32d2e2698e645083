"""The API's verbs on Kubernetes: over the real operator and a real API server, whose Job controller is played."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from kubernetes.aio import client, config

from imagebatch.batch.shard import ShardId
from imagebatch.net.guard import AddressPolicy
from imagebatch.records import Records, Request
from imagebatch.storage import keys
from imagebatch.storage.s3 import S3Store
from imagebatch_api.app import Services, create_app
from imagebatch_api.image_batches import ImageBatches
from imagebatch_api.kubernetes_control import KubernetesControl
from imagebatch_api.kubernetes_intake import KubernetesIntake
from imagebatch_api.purge import Purge
from imagebatch_api.settings import ApiSettings
from imagebatch_testing.control_plane import ControlPlane
from imagebatch_testing.local import csv_of
from imagebatch_testing.receiver import Receiver, Reply
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

CSV = csv_of([[f"http://shop.example/{number}.jpg"] for number in range(3)])


@pytest.fixture
async def services(
    plane: ControlPlane, operated_records: Records, bucket: S3Store
) -> AsyncIterator[Services]:
    """What the API works with in a cluster."""
    settings = client.Configuration()
    await config.load_kube_config(str(plane.kubeconfig), client_configuration=settings)  # type: ignore[no-untyped-call]
    async with client.ApiClient(configuration=settings) as kubernetes:
        made = ImageBatches(kubernetes, NAMESPACE)
        intake = KubernetesIntake(operated_records, made)
        control = KubernetesControl(operated_records, made)
        policy = AddressPolicy.parse("127.0.0.0/8")
        yield Services(bucket, operated_records, intake, control, policy)


@pytest.fixture
async def api(services: Services, operator: OperatorProcess) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001
    transport = httpx.ASGITransport(create_app(services, ApiSettings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as connected:
        yield connected


class Batch:
    """An upload of three shards with one image each."""

    def __init__(self, api: httpx.AsyncClient, objects: Objects, store: S3Store, request_id: str) -> None:
        self._api, self._objects, self._store = api, objects, store
        self.id = request_id
        self.uid = ""

    async def ask(self, verb: str = "", method: str = "POST") -> httpx.Response:
        return await self._api.request(method, f"/batches/{self.id}{verb and '/' + verb}")

    async def status(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self._api.get(f"/status/{self.id}")).json()
        return found

    async def until(self, **wanted: Any) -> None:
        """Wait until the status is so."""

        async def is_so() -> bool:
            found = await self.status()
            return all(found[name] == value for name, value in wanted.items())

        await until(is_so)

    async def job(self) -> JobController:
        found = await self._objects.until_job(self.uid, lambda job: not job["spec"].get("suspend"))
        return JobController(self._objects, found)

    async def end(self, job: JobController, attempt: int = 1, failed: frozenset[int] = frozenset()) -> None:
        """The Job's shards are done; those in `failed` with a failed image."""
        for index, shard in enumerate(job.shards):
            leave_report(self._store, ShardId(self.id, attempt, shard), failed=shard in failed)
            await job.complete(index)

    async def until_ended(self, status: str = "complete") -> None:
        await self.until(status=status)
        await self._objects.until_status(self.id, lambda found: "completionTime" in found)


@pytest.fixture
async def batch(api: httpx.AsyncClient, objects: Objects, bucket: S3Store) -> Batch:
    return await uploaded(api, objects, bucket)


async def uploaded(api: httpx.AsyncClient, objects: Objects, store: S3Store, **fields: str) -> Batch:
    answer = await api.post(
        "/upload",
        params={"rowsPerShard": "1", **fields},
        content=CSV,
        headers={"content-type": "text/csv"},
    )
    assert answer.status_code == 202, answer.text
    made = Batch(api, objects, store, answer.json()["request_id"])
    made.uid = (await objects.get(made.id))["metadata"]["uid"]
    return made


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


async def test_a_batch_is_suspended_and_resumed(batch: Batch, objects: Objects) -> None:
    job = await batch.job()
    assert code_of(await batch.ask("retry")) == (409, "still_running")
    assert code_of(await batch.ask(method="DELETE")) == (409, "still_running")
    for _ in range(2):
        answer = await batch.ask("suspend")
        assert (answer.status_code, answer.json()["reason"]) == (200, "Suspended")
    await batch.until(reason="Suspended")
    assert (await objects.get(batch.id))["spec"]["suspend"] is True
    for _ in range(2):
        assert (await batch.ask("resume")).json()["reason"] is None
    await batch.until(reason=None)
    await batch.end(job)
    await batch.until_ended()
    assert code_of(await batch.ask("resume")) == (409, "already_finished")


async def test_a_batch_is_cancelled_and_tried_again_without_what_was_done(
    batch: Batch, objects: Objects, bucket: S3Store
) -> None:
    job = await batch.job()
    await job.run(0, 1, 2)
    leave_report(bucket, ShardId(batch.id, 1, 1))
    await job.complete(1)
    answer = await batch.ask("cancel")
    assert (answer.status_code, answer.json()["reason"]) == (200, "Stopping")
    await objects.until_job(batch.uid, lambda job: job["spec"].get("suspend", False))
    await job.remove_pods()
    await batch.until(phase="Cancelled")
    assert (await batch.ask("cancel")).json()["phase"] == "Cancelled"
    assert (await batch.status())["images"] == {"total": 3, "succeeded": 1, "failed": 0, "skipped": 2}
    answer = await batch.ask("retry")
    assert (answer.status_code, answer.json()["status"]) == (200, "pending")
    again = await batch.job()
    assert again.shards == (0, 2)
    await batch.end(again, attempt=2)
    await batch.until_ended()
    assert (await batch.status())["images"] == {"total": 3, "succeeded": 3, "failed": 0, "skipped": 0}
    assert code_of(await batch.ask("retry")) == (409, "nothing_to_retry")


async def test_only_what_failed_is_tried_again(batch: Batch) -> None:
    await batch.end(await batch.job(), failed=frozenset({1}))
    await batch.until_ended()
    assert (await batch.ask("retry")).status_code == 200
    again = await batch.job()
    assert again.shards == (1,)
    await batch.end(again, attempt=2)
    await batch.until_ended()


async def test_a_deleted_batch_leaves_nothing(
    batch: Batch, objects: Objects, bucket: S3Store, services: Services
) -> None:
    await batch.end(await batch.job())
    await batch.until_ended()
    assert (await batch.ask(method="DELETE")).status_code == 204
    assert code_of(await batch.ask(method="GET")) == (404, "unknown_request")
    await purged(services, batch.id)
    assert await objects.is_gone(batch.id)
    prefixes = (keys.image_prefix(batch.id), keys.batch_prefix(batch.id), f"csvfile/{batch.id}")
    assert [stored.key for prefix in prefixes for stored in bucket.list(prefix)] == []


async def purged(services: Services, request_id: str) -> None:
    """Remove what is deleted, until the row is gone."""

    async def is_gone() -> bool:
        return await services.records.get_or_deleted(request_id) is None

    async with running(Purge(services)):
        await until(is_gone)


@asynccontextmanager
async def running(purge: Purge) -> AsyncIterator[None]:
    task = asyncio.create_task(purge.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _newest(status: dict[str, Any]) -> dict[str, Any]:
    """The newest delivery as the object shows it."""
    deliveries: list[dict[str, Any]] = status.get("webhook", {}).get("deliveries", [{}])
    return deliveries[0]


async def test_the_operator_sends_a_test_and_a_webhook_once_more(
    api: httpx.AsyncClient, objects: Objects, bucket: S3Store
) -> None:
    async with Receiver() as receiver:
        answer = await api.post("/webhooks/test", json={"url": receiver.url("/test")})
        assert (answer.status_code, answer.json()["delivered"]) == (200, True)
        batch = await uploaded(api, objects, bucket, webhook_url=receiver.url("/hook"))
        await batch.end(await batch.job())
        await batch.until_ended()
        await receiver.until_requests(2)
        await objects.until_status(batch.id, lambda found: _newest(found).get("state") == "delivered")
        receiver.replies["/hook"] = Reply(500)
        assert (await batch.ask("webhooks/redeliver")).json()["state"] == "pending"
        await objects.until_status(batch.id, lambda found: "500" in _newest(found).get("lastError", ""))
    test, first, second = receiver.requests[:3]
    assert (test.path, first.path, second.path) == ("/test", "/hook", "/hook")
    assert first.headers["webhook-id"] == second.headers["webhook-id"] != test.headers["webhook-id"]


async def test_why_a_batch_waits_is_in_its_status(batch: Batch) -> None:
    job = await batch.job()
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient memory.",
    }
    await job.make_pod(0, {}, conditions=[condition])
    await batch.until(reason="Unschedulable")
    assert "3 Insufficient memory" in (await batch.status())["waiting"]


async def test_what_kubectl_made_is_seen_and_not_touched(
    api: httpx.AsyncClient, objects: Objects, operated_records: Records
) -> None:
    made = await objects.create(new_name("by-kubectl"), {"source": {"inline": CSV.decode()}, "suspend": True})
    uid = made["metadata"]["uid"]
    found: list[Request | None] = []

    async def is_recorded() -> bool:
        found[:] = [await operated_records.get(uid)]
        return found[0] is not None

    await until(is_recorded)
    assert (await api.get(f"/batches/{uid}")).status_code == 200
    assert code_of(await api.post(f"/batches/{uid}/resume")) == (409, "not_controlled")
    assert (await objects.get(made["metadata"]["name"]))["spec"]["suspend"] is True
    await objects.change(made["metadata"]["name"], cancel=True)
    await objects.until_status(made["metadata"]["name"], lambda status: "completionTime" in status)
    assert code_of(await api.delete(f"/batches/{uid}")) == (409, "not_controlled")


async def test_a_batch_whose_object_is_gone_can_be_deleted_and_not_run_again(
    batch: Batch, objects: Objects, services: Services
) -> None:
    await batch.end(await batch.job(), failed=frozenset({0}))
    await batch.until_ended()
    await objects.delete(batch.id)
    await until(lambda: objects.is_gone(batch.id))
    assert (await batch.status())["status"] == "complete"
    assert code_of(await batch.ask("retry")) == (409, "not_controlled")
    assert (await batch.ask(method="DELETE")).status_code == 204
    await purged(services, batch.id)
