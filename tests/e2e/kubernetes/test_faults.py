"""What goes wrong on clusters, done on purpose: the output is the same, and there is one webhook."""

import base64
import json
import time
from collections.abc import Callable

import pytest

from imagebatch.records import connect
from imagebatch.settings import DatabaseSettings
from imagebatch_testing.installation import Installation, is_running, until
from imagebatch_testing.local import csv_of
from imagebatch_testing.shop import Shop

pytestmark = pytest.mark.cluster


def a_source(shop: Shop, rows: int = 6, kind: str = "gated") -> dict[str, str]:
    products = [[shop.url(f"/{kind}/{row}.jpg")] for row in range(1, rows + 1)]
    return {"inline": csv_of(products).decode()}


def check_complete(installation: Installation, shop: Shop, name: str, rows: int = 6) -> None:
    """Complete, with all rows and images, and one webhook however often it was sent."""
    status = installation.until_phase(name, "Complete")
    assert status["images"] == {"total": rows, "succeeded": rows, "failed": 0, "skipped": 0}
    records = installation.output(status)[1:]
    assert [record[0] for record in records] == [str(row) for row in range(1, rows + 1)]
    assert all(record[3].startswith("http") for record in records)
    installation.delivered(shop, f"/hook/{name}")


def hook(shop: Shop, name: str) -> dict[str, str]:
    return {"url": shop.url(f"/hook/{name}")}


# -- the operator ------------------------------------------------------------------------------------


def test_the_operator_is_killed_while_it_plans(installation: Installation, shop: Shop) -> None:
    shop.gate.clear()
    shop.files["/gated/products.csv"] = a_source(shop, kind="p")["inline"].encode()
    source = {"url": shop.url("/gated/products.csv")}
    installation.apply("plan-killed", source, webhook=hook(shop, "plan-killed"))
    installation.until_phase("plan-killed", "Planning")
    until(lambda: shop.requests["/gated/products.csv"], "the source to be asked for")
    installation.kill_operator()
    shop.gate.set()
    check_complete(installation, shop, "plan-killed")


def test_the_operator_is_killed_while_shards_run(installation: Installation, shop: Shop) -> None:
    shop.gate.clear()
    installation.apply(
        "run-killed", a_source(shop), sharding={"rowsPerShard": 2}, webhook=hook(shop, "run-killed")
    )
    installation.until_running("run-killed")
    installation.kill_operator()
    shop.gate.set()
    check_complete(installation, shop, "run-killed")


def test_the_operator_is_killed_while_it_merges(installation: Installation, shop: Shop) -> None:
    """Many rows with links that fail at once make a merge that takes its time."""
    products = [[shop.url("/p/1.jpg")], *([f"not-a-link-{row}"] for row in range(60_000))]
    answer = installation.api.post(
        "/upload",
        files={"file": ("products.csv", csv_of(products), "text/csv")},
        data={"webhook_url": shop.url("/hook/merge-killed")},
        params={"rowsPerShard": "20000"},
    )
    name = answer.json()["request_id"]
    installation.until_phase(name, "Merging")
    installation.kill_operator()
    status = installation.until_phase(name, "Complete")
    assert status["images"] == {"total": 60_001, "succeeded": 1, "failed": 60_000, "skipped": 0}
    assert len(installation.output(status)) == 60_002
    installation.delivered(shop, "/hook/merge-killed")


def test_two_operators_by_mistake(installation: Installation, shop: Shop) -> None:
    installation.scale_operator(2)
    try:
        for number in range(3):
            name = f"twice-{number}"
            installation.apply(name, a_source(shop), sharding={"rowsPerShard": 2}, webhook=hook(shop, name))
        for number in range(3):
            check_complete(installation, shop, f"twice-{number}")
    finally:
        installation.scale_operator(1)


def test_the_operator_is_upgraded_while_a_batch_runs(installation: Installation, shop: Shop) -> None:
    shop.gate.clear()
    installation.apply(
        "upgraded", a_source(shop), sharding={"rowsPerShard": 2}, webhook=hook(shop, "upgraded")
    )
    installation.until_running("upgraded")
    before = {pod["metadata"]["uid"] for pod in installation.operator_pods()}
    installation.upgrade_operator()
    until(
        lambda: before.isdisjoint(pod["metadata"]["uid"] for pod in installation.operator_pods()),
        "a new operator",
    )
    shop.gate.set()
    check_complete(installation, shop, "upgraded")


# -- pods --------------------------------------------------------------------------------------------


def _kill(installation: Installation, pod: str) -> None:
    installation.cluster.kill(installation.namespace, pod, "jobrunner")


def _evict(installation: Installation, pod: str) -> None:
    installation.cluster.evict(installation.namespace, pod)


@pytest.mark.parametrize("harm", [_kill, _evict], ids=["killed", "evicted"])
def test_a_lost_pod_is_replaced(
    installation: Installation, shop: Shop, harm: Callable[[Installation, str], None]
) -> None:
    shop.gate.clear()
    name = f"lost{harm.__name__}".replace("_", "-")
    installation.apply(name, a_source(shop), sharding={"rowsPerShard": 2}, webhook=hook(shop, name))
    pod = installation.until_running(name, 3)[0]["metadata"]["name"]
    harm(installation, pod)
    shop.gate.set()
    check_complete(installation, shop, name)


def test_a_shard_that_always_crashes_fails_alone(installation: Installation, shop: Shop) -> None:
    shop.gate.clear()
    source = csv_of([[shop.url("/p/1.jpg")], [shop.url("/gated/2.jpg")], [shop.url("/p/3.jpg")]])
    installation.apply(
        "crashing", {"inline": source.decode()}, sharding={"rowsPerShard": 1}, webhook=hook(shop, "crashing")
    )
    killed: set[str] = set()

    def kill_second_shard() -> bool:
        for pod in installation.pods("crashing"):
            index = pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
            name = pod["metadata"]["name"]
            if index == "1" and name not in killed and is_running(pod):
                _kill(installation, name)
                killed.add(name)
        return len(killed) == 4

    until(kill_second_shard, "four runs of the second shard", 180)
    status = installation.until_phase("crashing", "Complete")
    assert status["failures"] == {"shard_failed": 1}
    assert [bool(record[3]) for record in installation.output(status)[1:]] == [True, False, True]
    assert [row[2:4] for row in installation.errors(status)[1:]] == [
        [shop.url("/gated/2.jpg"), "shard_failed"]
    ]
    assert "ShardsFailing" in installation.story("crashing")


# -- what it stands on -------------------------------------------------------------------------------


def test_s3_denied_for_two_minutes_costs_time_and_nothing_else(
    installation: Installation, shop: Shop
) -> None:
    found = installation.cluster.get("secret", "jobrunner-s3", f"--namespace={installation.namespace}")
    right, wrong = found["data"], base64.b64encode(b"wrong").decode()
    patch = {"data": {"secretKey": wrong}}
    installation.kubectl("patch", "secret", "jobrunner-s3", f"--patch={json.dumps(patch)}")
    started = time.monotonic()
    try:
        source = a_source(shop, kind="p")
        installation.apply("denied", source, sharding={"rowsPerShard": 2}, webhook=hook(shop, "denied"))
        message = installation.until_waits("denied", "StoreUnavailable", 60)
        assert "AccessDenied" in message or "SignatureDoesNotMatch" in message
        while time.monotonic() - started < 120:
            assert installation.status("denied")["phase"] == "Running"
            time.sleep(5)
    finally:
        installation.kubectl("patch", "secret", "jobrunner-s3", f"--patch={json.dumps({'data': right})}")
    check_complete(installation, shop, "denied")


def test_postgres_and_s3_go_and_come_back(installation: Installation, shop: Shop) -> None:
    shop.gate.clear()
    installation.apply("cut-off", a_source(shop), sharding={"rowsPerShard": 2}, webhook=hook(shop, "cut-off"))
    installation.until_running("cut-off", 3)
    for service, reason in (
        (installation.services.postgres, "DatabaseUnavailable"),
        (installation.services.s3, "StoreUnavailable"),
    ):
        service.cut()
        try:
            installation.until_waits("cut-off", reason, 90)
        finally:
            service.mend()
    shop.gate.set()
    check_complete(installation, shop, "cut-off")


async def _forget(installation: Installation, request_id: str) -> None:
    settings = DatabaseSettings(DATABASE_URL=installation.services.local_database_url)  # type: ignore[call-arg]
    async with connect(settings) as records:
        assert await records.get(request_id) is not None
        await records.delete(request_id)
