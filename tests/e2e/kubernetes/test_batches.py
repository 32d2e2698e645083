"""What users do with ImageBatch on a cluster, from upload or `kubectl apply` to output CSV and webhook."""

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagebatch_testing.installation import Installation, condition, is_running, new_secret, until, verify
from imagebatch_testing.local import csv_of
from imagebatch_testing.shop import Shop

pytestmark = pytest.mark.cluster

README = Path(__file__).parents[3] / "README.md"

Json = dict[str, Any]


def catalogue(shop: Shop, rows: int, kind: str = "p") -> list[list[str]]:
    """One or two links a product; the last product's is broken."""
    products = [
        [shop.url(f"/{kind}/{row}-{slot}.jpg") for slot in range(1, 2 + row % 2)] for row in range(1, rows)
    ]
    return [*products, [shop.url("/p/none.jpg")]]


def check_output(installation: Installation, shop: Shop, status: Json, products: list[list[str]]) -> None:
    """Every row is there, in its order; each link's image is smaller; the broken one's place is empty."""
    head, *records = installation.output(status)
    assert head == ["Serial Number", "Product Name", "Input Image Urls", "Output Image Urls"]
    assert [record[2] for record in records] == [",".join(links) for links in products]
    assert records[-1][3] == ""
    for links, record in zip(products[:-1], records[:-1], strict=True):
        outputs = record[3].split(",")
        assert len(outputs) == len(links)
        for link, output in zip(links, outputs, strict=True):
            _check_image(shop, link, output)
    assert [row[3] for row in installation.errors(status)[1:]] == ["http_status"]


def _check_image(shop: Shop, link: str, output: str) -> None:
    source = shop.picture(link)
    assert source is not None
    response = httpx.get(output, trust_env=False)
    assert response.headers["content-type"] == "image/jpeg"
    assert 0 < len(response.content) < len(source)


def test_an_upload_becomes_a_complete_batch(installation: Installation, shop: Shop) -> None:
    shop.gate.clear()
    products = catalogue(shop, 9, "gated")
    answer = installation.api.post(
        "/upload",
        files={"file": ("products.csv", csv_of(products), "text/csv")},
        data={"webhook_url": shop.url("/hook/upload")},
        params={"rowsPerShard": "3", "parallelism": "3"},
    )
    assert answer.status_code == 202, answer.text
    request_id = answer.json()["request_id"]

    pods = installation.until_running(request_id, 3)
    assert {pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] for pod in pods} == {
        "0",
        "1",
        "2",
    }
    under_way = until(lambda: _told(installation, request_id, "Running"), "GET /status to tell Running")
    assert (under_way["status"], under_way["images"]["total"]) == ("pending", 13)
    shop.gate.set()

    status = installation.until_phase(request_id, "Complete")
    assert (status["requestId"], status["shards"]["total"]) == (request_id, 3)
    check_output(installation, shop, status, products)
    told = installation.api.get(f"/status/{request_id}").json()
    assert (told["status"], told["progress"], told["output_csv"]) == ("complete", 1.0, status["outputCsv"])
    report = installation.api.get(f"/batches/{request_id}/report.csv").text
    assert report.count("requantised") == 12, "the image has the requantiser"
    hook = installation.delivered(shop, "/hook/upload")
    assert json.loads(hook.body) == {
        "request_id": request_id,
        "status": "complete",
        "output_csv": status["outputCsv"],
        "message": "12 of 13 images; 1 failed (http_status 1)",
        "error": None,
        "images": {"total": 13, "succeeded": 12, "failed": 1, "skipped": 0},
    }
    installation.until_status(
        request_id,
        lambda now: condition(now, "WebhookDelivered").get("status") == "True",
        "the delivery to be told",
    )
    assert (
        condition(installation.status(request_id), "Complete")["status"] == "True"
    )  # both have their managers


def _told(installation: Installation, request_id: str, phase: str) -> Json | None:
    found: Json = installation.api.get(f"/status/{request_id}").json()
    return found if found["phase"] == phase else None


@pytest.mark.parametrize("kind", ["inline", "configMap", "s3", "url"])
def test_every_source_gives_the_same(installation: Installation, shop: Shop, kind: str) -> None:
    name, products = f"source-{kind.lower()}", catalogue(shop, 5)
    data = csv_of(products)
    installation.apply(name, _source(installation, shop, kind, data), sharding={"rowsPerShard": 2})
    waited = installation.kubectl(
        "wait", "--for=condition=Complete", f"ib/{name}", "--timeout=120s", timeout_s=130
    )
    assert "condition met" in waited
    status = installation.status(name)
    check_output(installation, shop, status, products)
    told = installation.api.get(f"/status/{status['requestId']}").json()
    assert (told["status"], told["rows"], told["images"]["total"]) == ("complete", 5, 7)
    story = installation.story(name)
    for event in ("Planned", "5 rows with 7 images, in 3 shards", "JobCreated", "Complete"):
        assert event in story


def _source(installation: Installation, shop: Shop, kind: str, data: bytes) -> Json:
    match kind:
        case "inline":
            return {"inline": data.decode()}
        case "configMap":
            metadata = {"name": "products", "namespace": installation.namespace}
            content = {"products.csv": data.decode()}
            installation.cluster.apply(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": content}
            )
            return {"configMap": {"name": "products", "key": "products.csv"}}
        case "s3":
            from imagebatch.storage.store import CSV  # noqa: PLC0415

            key = f"imports/{installation.namespace}/products.csv"
            installation.store.put(key, data, CSV)
            return {"s3": {"key": key}}
    shop.files["/files/products.csv"] = data
    return {"url": shop.url("/files/products.csv")}


def test_watching_shows_the_progress_move(installation: Installation, shop: Shop) -> None:
    shop.gate.clear()
    products = [[shop.url(f"/{'p' if row < 5 else 'gated'}/{row}.jpg")] for row in range(1, 9)]
    installation.apply(
        "watched", {"inline": csv_of(products).decode()}, sharding={"rowsPerShard": 4, "parallelism": 1}
    )
    command = [
        *installation.cluster.kubectl_command,
        "get",
        "ib",
        "watched",
        "-w",
        f"--namespace={installation.namespace}",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        installation.until_status("watched", lambda status: status.get("progress") == "4/8", "half of it")
        shop.gate.set()
        installation.until_phase("watched", "Complete")
        until(lambda: True, "kubectl to print")
        watching.terminate()
        shown, _ = watching.communicate(timeout=10)
    done = [line.split()[2] for line in shown.splitlines() if "/8" in line]
    assert [*dict.fromkeys(done)][-2:] == ["4/8", "8/8"], shown


@pytest.mark.parametrize("is_operator_dead", [False, True], ids=["operator alive", "operator dead"])
def test_a_deletion_while_it_runs_leaves_nothing(
    installation: Installation, shop: Shop, *, is_operator_dead: bool
) -> None:
    shop.gate.clear()
    name = f"deleted-{is_operator_dead}".lower()
    products = catalogue(shop, 6, "gated")
    installation.apply(
        name, {"inline": csv_of(products).decode()}, webhook={"url": shop.url(f"/hook/{name}")}
    )
    installation.until_running(name)
    request_id = installation.status(name)["requestId"]
    if is_operator_dead:
        installation.scale_operator(0)
    installation.kubectl("delete", "ib", name, "--wait=false")
    if is_operator_dead:
        installation.scale_operator(1)
    installation.kubectl("wait", "--for=delete", f"ib/{name}", "--timeout=90s", timeout_s=100)
    assert installation.pods(name) == []
    selector = f"--selector=imagebatch.dev/batch={name}"
    assert installation.cluster.get("jobs", f"--namespace={installation.namespace}", selector)["items"] == []
    assert list(installation.store.list(f"batches/{request_id}/")) == []
    folder = hashlib.sha256(f"images:{request_id}".encode()).hexdigest()[:32]
    assert list(installation.store.list(f"images/{folder}/")) == []
    told = installation.api.get(f"/status/{request_id}").json()
    assert (told["status"], told["error"]) == ("failed", "deleted")
    assert json.loads(installation.delivered(shop, f"/hook/{name}").body)["status"] == "failed"


def test_suspended_pods_stop_and_the_output_is_the_same(installation: Installation, shop: Shop) -> None:
    shop.gate.clear()
    products = catalogue(shop, 6, "gated")
    installation.apply("suspended", {"inline": csv_of(products).decode()}, sharding={"rowsPerShard": 2})
    installation.until_running("suspended")
    installation.patch("suspended", suspend=True)
    until(lambda: not any(is_running(pod) for pod in installation.pods("suspended")), "the pods to stop")
    assert "spec.suspend" in installation.until_waits("suspended", "Suspended")
    assert "suspendedAt" in installation.status("suspended")
    shop.gate.set()
    installation.patch("suspended", suspend=False)
    status = installation.until_phase("suspended", "Complete")
    assert "suspendedAt" not in status
    assert status["suspendedSeconds"] > 0
    check_output(installation, shop, status, products)
    assert "Resumed" in installation.story("suspended")


def test_a_cancelled_batch_ends_with_what_it_has(installation: Installation, shop: Shop) -> None:
    shop.gate.clear()
    products = [[shop.url("/p/1.jpg")], [shop.url("/gated/2.jpg")]]
    installation.apply("cancelled", {"inline": csv_of(products).decode()}, sharding={"rowsPerShard": 1})
    installation.until_status("cancelled", lambda status: status.get("progress") == "1/2", "the first image")
    installation.patch("cancelled", cancel=True)
    status = installation.until_end("cancelled")
    assert (status["phase"], status["error"]) == ("Cancelled", "cancelled")
    assert condition(status, "Failed")["reason"] == "Cancelled"
    outputs = [record[3] for record in installation.output(status)[1:]]
    assert outputs[0] != ""
    assert outputs[1] == ""
    until(lambda: not installation.pods("cancelled"), "the pods to go")


def test_the_ttl_removes_the_object_and_the_status_still_answers(
    installation: Installation, shop: Shop
) -> None:
    products = catalogue(shop, 2)
    installation.apply("short-lived", {"inline": csv_of(products).decode()}, ttlSecondsAfterFinished=3)
    request_id = installation.until_status("short-lived", lambda status: "requestId" in status, "an id")[
        "requestId"
    ]
    installation.kubectl("wait", "--for=delete", "ib/short-lived", "--timeout=120s", timeout_s=130)
    told = installation.api.get(f"/status/{request_id}").json()
    assert told["status"] == "complete"
    assert httpx.get(told["output_csv"], trust_env=False).status_code == 200


def test_another_attempt_runs_only_what_failed(installation: Installation, shop: Shop) -> None:
    links = ["/p/1.jpg", "/p/2.jpg", "/files/3.jpg", "/p/4.jpg", "/p/5.jpg"]
    products = [[shop.url(link)] for link in links]
    hook = shop.url("/hook/again")
    source = {"inline": csv_of(products).decode()}
    installation.apply("again", source, sharding={"rowsPerShard": 2}, webhook={"url": hook})
    first = installation.until_phase("again", "Complete")
    assert first["images"] == {"total": 5, "succeeded": 4, "failed": 1, "skipped": 0}
    shop.files["/files/3.jpg"] = shop.pictures[3]
    shop.requests.clear()
    installation.patch("again", attempt=2)
    status = installation.until_status(
        "again", lambda now: now.get("attempt") == 2 and now["phase"] == "Complete", "the second attempt"
    )
    assert status["images"] == {"total": 5, "succeeded": 5, "failed": 0, "skipped": 0}
    assert dict(shop.requests) == {"/files/3.jpg": 1}
    assert all(record[3] for record in installation.output(status)[1:])
    until(lambda: len(shop.hooks["/hook/again"]) == 2, "both webhooks")
    hooks = shop.hooks["/hook/again"]
    assert len({hook.headers["webhook-id"] for hook in hooks}) == 2
    assert "AttemptStarted" in installation.story("again")


def test_a_batchs_own_secret_signs_its_webhook(installation: Installation, shop: Shop) -> None:
    secret = new_secret()
    metadata = {"name": "shop-webhook", "namespace": installation.namespace}
    source = {"inline": csv_of(catalogue(shop, 2)).decode()}
    webhook = {"url": shop.url("/hook/own"), "secretRef": {"name": "shop-webhook"}}
    installation.cluster.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"secret": secret}}
    )
    installation.apply("own-secret", source, webhook=webhook)
    hooks = until(lambda: shop.hooks.get("/hook/own"), "the webhook")
    verify(hooks[0], secret)


def test_the_readmes_example_is_taken(installation: Installation) -> None:
    text = README.read_text()
    found = re.search(r"<!-- tested: imagebatch -->\n```yaml\n(.+?)```", text, re.DOTALL)
    assert found is not None
    said = installation.kubectl("apply", "--dry-run=server", "--filename=-", input=found[1])
    assert said == "imagebatch.imagebatch.dev/spring-catalogue created (server dry run)\n"
