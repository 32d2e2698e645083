"""What `kubectl imagebatch` asks of the operator by annotations, and `check`: without the REST API."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from imagebatch.batch.shard import ShardId
from imagebatch.csv import report_page
from imagebatch.custom_resource import API_VERSION, KIND, LINKS_REQUESTED_AT, REDELIVERY_REQUESTED_AT
from imagebatch.storage import keys
from imagebatch_operator.kube import APPLY
from imagebatch_operator.names import LINKS_MANAGER
from imagebatch_testing.control_plane import ControlPlane
from imagebatch_testing.kubectl import Kubectl, runner
from imagebatch_testing.local import csv_of, imagebatch
from imagebatch_testing.operated import ROWS, Batch, Make, condition
from imagebatch_testing.receiver import Receiver, Reply
from imagebatch_testing.waiting import until
from imagebatch_testing.without_nodes import (
    MERGE,
    Objects,
    OperatorProcess,
    leave_report,
    new_name,
)

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.timeout(120, func_only=True)]
operated = pytest.mark.usefixtures("operator")

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def finish_with_a_failure(batch: Batch) -> None:
    """Have the shards done, the second image failed."""
    job = await batch.job()
    for index in range(ROWS):
        shard = ShardId(batch.uid, 1, index)
        await asyncio.to_thread(leave_report, batch.store, shard, failed=index == 1)
    await job.complete(*range(ROWS))
    await batch.until_phase("Complete")


async def annotate(objects: Objects, name: str, annotation: str, value: str) -> None:
    patch = {"metadata": {"annotations": {annotation: value}}}
    await objects.ask("PATCH", f"{objects.batches}/{name}", json=patch, headers=MERGE)


def webhook_of(status: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = status.get("webhook", {})
    return found


# -- check -------------------------------------------------------------------------------------------------


async def names(objects: Objects) -> set[str]:
    """Of the batches and the ConfigMaps that there are."""
    found = [await objects.ask("GET", path) for path in (objects.batches, objects.core("configmaps"))]
    return {each["metadata"]["name"] for kind in found for each in kind["items"]}


def a_file(folder: Path, rows: int = ROWS, head: str = "Serial Number") -> Path:
    path = folder / "looked-at.csv"
    data = csv_of([[f"http://shop.example/{number}.jpg"] for number in range(rows)])
    path.write_bytes(data.replace(b"Serial Number", head.encode()))
    return path


@operated
@pytest.mark.parametrize("rows", [ROWS, 5000], ids=["inline", "ConfigMap"])
async def test_a_file_is_checked_here_and_by_the_cluster(
    kubectl: Kubectl, objects: Objects, tmp_path: Path, rows: int
) -> None:
    file = a_file(tmp_path, rows)
    shown = await kubectl("check", file, "--quality", "60")
    assert shown.code == 0, shown.stderr
    assert f"This can be uploaded: {rows} rows, {rows} images" in shown.stdout
    same = await imagebatch("check", str(file), IMAGEBATCH_DATA=str(tmp_path / "none"))
    assert shown.stdout == same.stdout
    document = json.loads((await kubectl("check", file, "--json")).stdout)
    assert document["hosts"] == [{"host": "shop.example", "images": rows}]
    assert not {name for name in await names(objects) if name.startswith("looked-at-")}


@operated
async def test_what_submit_would_be_refused_is_refused_by_check(kubectl: Kubectl, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_bytes(b"Product\nShirt\n")
    here = await kubectl("check", bad)
    assert (here.code, "wrong_header" in here.stderr) == (2, True)
    long = "x" * 1100
    columns = f"serial={long},links=Input Image Urls"
    for verb in ("check", "submit"):
        there = await kubectl(verb, a_file(tmp_path, head=long), "--columns", columns)
        assert (there.code, "may not be more than 1024" in there.stderr) == (2, True), there.stderr


# -- images ------------------------------------------------------------------------------------------------


@operated
async def test_the_images_of_the_report_are_shown(make: Make, kubectl: Kubectl) -> None:
    batch = await make("shown")
    early = await kubectl("images", batch.name)
    assert (early.code, "has not ended" in early.stderr) == (2, True)
    await finish_with_a_failure(batch)
    first = await kubectl("images", batch.name, "--json", "--limit", 1)
    assert first.code == 0, first.stderr
    page = report_page.read(batch.store, keys.image_report(batch.uid), None, 1, None)
    assert json.loads(first.stdout) == {"images": page.images, "next_after": page.next_after}
    second = json.loads((await kubectl("images", batch.name, "--json", "--after", page.next_after)).stdout)
    assert [(image["row"], image["error_code"]) for image in second["images"]] == [(2, "http_status")]
    assert second["next_after"] is None
    failed = await kubectl("images", batch.name, "--outcome", "failed")
    head, line = failed.stdout.splitlines()
    assert head.split() == ["ROW", "SLOT", "OUTCOME", "BEFORE", "AFTER", "LINK", "NOTE"]
    assert line.split() == ["2", "1", "failed", "http://shop.example/1.jpg", "http_status:", "HTTP", "404"]
    forged = await kubectl("images", batch.name, "--after", "x")
    assert (forged.code, "invalid_parameter" in forged.stderr) == (2, True)


@operated
async def test_links_are_signed_for_a_time_and_removed_after_it(make: Make, kubectl: Kubectl) -> None:
    batch = await make("linked")
    await annotate(batch.objects, batch.name, LINKS_REQUESTED_AT, "now, please")
    early = await batch.objects.until_status(batch.name, lambda status: "links" in status)
    assert early["links"] == {
        "requestedAt": "now, please",
        "error": "the batch is not at its end: there is no report yet",
    }
    await batch.finish()
    assert (await kubectl("results", batch.name, "--errors", "e.csv")).code == 0
    links = (await batch.objects.status(batch.name))["links"]
    async with httpx.AsyncClient() as client:
        answer = await client.get(links["reportCsv"][0])
        unsigned = await client.get(links["reportCsv"][0].partition("?")[0])
    assert (answer.status_code, answer.text.count("\n"), unsigned.status_code) == (200, ROWS + 1, 403)
    assert "LinksSigned" in await batch.until_events("LinksSigned")

    await let_expire(batch, links)
    status = await batch.objects.until_status(batch.name, lambda status: "expiresAt" not in status["links"])
    assert status["links"] == {"requestedAt": links["requestedAt"]}
    assert status["phase"] == "Complete"


async def let_expire(batch: Batch, links: dict[str, Any]) -> None:
    """Write the links as the operator would have a while ago."""
    body = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": batch.name},
        "status": {"links": {**links, "expiresAt": "2026-01-01T00:00:00Z"}},
    }
    query = {"fieldManager": LINKS_MANAGER, "force": "true"}
    path = f"{batch.objects.batches}/{batch.name}/status"
    await batch.objects.ask("PATCH", path, json=body, params=query, headers={"Content-Type": APPLY})


# -- webhooks ----------------------------------------------------------------------------------------------


async def signed(make: Make, url: str) -> dict[str, Any]:
    """A webhook with a secret of the namespace."""
    name = new_name("secret")
    body = {"metadata": {"name": name}, "stringData": {"secret": SECRET}}
    objects = (await make("holder", suspend=True)).objects
    await objects.ask("POST", objects.core("secrets"), json=body)
    return {"url": url, "secretRef": {"name": name}}


async def delivered(batch: Batch) -> dict[str, Any]:
    return await batch.objects.until_status(
        batch.name, lambda status: webhook_of(status).get("state") == "delivered"
    )


@operated
async def test_the_webhook_of_a_batch_is_listed_and_sent_again(make: Make, kubectl: Kubectl) -> None:
    async with Receiver() as receiver:
        batch = await make("resent", webhook=await signed(make, receiver.url("/hook")))
        early = await kubectl("webhooks", "redeliver", batch.name)
        assert (early.code, "not at its end" in early.stderr) == (2, True)
        await batch.finish()
        await delivered(batch)
        listed = await kubectl("webhooks", "list", batch.name)
        assert [line.split()[1:4] for line in listed.stdout.splitlines()[1:]] == [["1", "delivered", "1"]]

        receiver.replies["/hook"] = Reply(500, {"retry-after": "600"})
        again = json.loads((await kubectl("webhooks", "redeliver", batch.name, "--json")).stdout)
        await receiver.until_requests(2)
        first, second = receiver.requests
        assert again["webhook_id"] == first.headers["webhook-id"] == second.headers["webhook-id"]
        assert Webhook(SECRET).verify(second.body, second.headers)["status"] == "complete"
        status = await batch.objects.until_status(
            batch.name, lambda status: webhook_of(status).get("lastError") == "HTTP 500"
        )
        assert condition(status, "WebhookDelivered")["reason"] == "Retrying"
        assert "nextTryTime" in status["webhook"]["deliveries"][0]
        document = json.loads((await kubectl("webhooks", "list", batch.name, "--json")).stdout)
        (delivery,) = document["deliveries"]
        assert (delivery["state"], delivery["tries"], delivery["last_error"]) == ("pending", 1, "HTTP 500")

        receiver.replies.clear()
        await kubectl("webhooks", "redeliver", batch.name)
        await delivered(batch)
        events = await batch.until_events("WebhookResent")
        await until(lambda: _has(batch, "WebhookDelivered", 2))
    assert (events.count("WebhookResent"), len(receiver.requests)) == (2, 3)


async def _has(batch: Batch, reason: str, count: int) -> bool:
    found = [event["reason"] for event in await batch.objects.events(batch.name)]
    return found.count(reason) == count


@operated
async def test_a_test_goes_to_the_webhook_of_a_batch(make: Make, kubectl: Kubectl) -> None:
    async with Receiver() as receiver:
        batch = await make("tried", webhook=await signed(make, receiver.url("/hook")))
        await batch.job()
        done = await kubectl("webhooks", "test", batch.name)
        assert done.code == 0, done.stderr
        (request,) = receiver.requests
        assert done.stdout == f"{request.headers['webhook-id']}  delivered\n"
        assert Webhook(SECRET).verify(request.body, request.headers)["type"] == "test"
        receiver.replies["/hook"] = Reply(503)
        failed = await kubectl("webhooks", "test", batch.name, "--json")
        assert failed.code == 1
        answer = json.loads(failed.stdout)
        assert (answer["delivered"], answer["error"]) == (False, "HTTP 503")
        assert answer["webhook_id"] != request.headers["webhook-id"]
        await batch.until_events("WebhookTestDelivered", "WebhookTestFailed")
        assert (await batch.finish())["phase"] == "Complete"


@operated
async def test_what_can_not_be_sent_is_refused(make: Make, kubectl: Kubectl) -> None:
    without = await make("silent")
    for verb in ("test", "redeliver"):
        done = await kubectl("webhooks", verb, without.name)
        assert (done.code, "no_webhook" in done.stderr) == (2, True), done.stderr
    closed = await make("closed", webhook={"url": "http://10.0.0.1/hook"}, suspend=True)
    done = await kubectl("webhooks", "test", closed.name)
    assert (done.code, "10.0.0.1" in done.stderr, "not_sent" in done.stderr) == (2, True, True), done.stderr


# -- the operator ------------------------------------------------------------------------------------------


@pytest.fixture
async def own_objects(objects: Objects) -> Objects:
    """In a namespace of the test's own, which no operator watches yet."""
    return await objects.in_new_namespace("asked")


async def test_without_an_operator_the_wait_has_an_end(
    own_objects: Objects, kubeconfig_only: dict[str, str], tmp_path: Path
) -> None:
    spec = {"source": {"inline": csv_of([]).decode()}, "webhook": {"url": "http://hooks.example/"}}
    await own_objects.create("alone", spec)
    done = await runner(kubeconfig_only, tmp_path, own_objects.namespace)(
        "webhooks", "test", "alone", "--timeout", 1
    )
    assert (done.code, "no operator has answered within 1 s" in done.stderr) == (1, True)


MakeOperator = Callable[[str], OperatorProcess]


@pytest.fixture
def operator_of(
    plane: ControlPlane, operator_environment: dict[str, str], own_objects: Objects, tmp_path: Path
) -> MakeOperator:
    return lambda name: OperatorProcess(
        plane, operator_environment, tmp_path / f"{name}.log", own_objects.namespace
    )


async def test_what_was_answered_is_not_done_again_by_a_restart_or_a_second_operator(
    operator_of: MakeOperator, own_objects: Objects, bucket: Any
) -> None:
    name = "once"
    async with Receiver() as receiver:
        with operator_of("first").running() as first:
            spec = {"source": {"inline": csv_of([["http://shop.example/1.jpg"]]).decode()}}
            made = await own_objects.create(name, {**spec, "webhook": {"url": receiver.url("/hook")}})
            batch = Batch(name, made["metadata"]["uid"], own_objects, bucket)
            job = await batch.job()
            await batch.report(0)
            await job.complete(0)
            await delivered(batch)
            first.stop()
            for annotation in (LINKS_REQUESTED_AT, REDELIVERY_REQUESTED_AT):
                await annotate(own_objects, name, annotation, "2026-11-29T10:00:00Z")
        with operator_of("second").running() as second, operator_of("third").running():
            await receiver.until_requests(2)
            answered = await own_objects.until_status(
                name, lambda status: "redelivery" in webhook_of(status) and _is_over(status)
            )
            second.stop()
            second.start()
            await own_objects.change(name, ttlSecondsAfterFinished=3600)
            await own_objects.until_status(name, lambda status: status["observedGeneration"] == 2)
        assert len(receiver.requests) == 2
        assert (await own_objects.status(name))["links"] == answered["links"]


def _is_over(status: dict[str, Any]) -> bool:
    return webhook_of(status)["state"] == "delivered" and "links" in status
