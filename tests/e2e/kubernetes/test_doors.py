"""Every verb at both doors of a cluster: `imagebatch` by the API, `kubectl imagebatch` by the API server."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from imagebatch.storage import keys
from imagebatch_testing.installation import Installation, until, verify
from imagebatch_testing.local import csv_of, environment
from imagebatch_testing.shop import Shop

pytestmark = pytest.mark.cluster

Run = Callable[..., str]
ROWS = 4


def runner(installation: Installation, door: str) -> Run:
    """Runs a command of a door to its end, which must be good; returns what it prints."""
    program = Path(sys.executable).with_name(door)
    settings = {
        "imagebatch": {"IMAGEBATCH_SERVER": str(installation.api.base_url)},
        "kubectl-imagebatch": {"KUBECONFIG": str(installation.cluster.kubeconfig)},
    }[door]
    where = ["-n", installation.namespace] if door == "kubectl-imagebatch" else []

    def run(*words: str | Path) -> str:
        done = subprocess.run(
            [program, *map(str, words), *where],
            env=environment(settings), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    return run


def name_of(printed: str, door: str) -> str:
    """The batch's name in what `submit` printed: a line, or a document."""
    if door == "imagebatch":
        return str(json.loads(printed)["request_id"])
    return printed.partition(" ")[0]


@pytest.mark.parametrize("door", ["imagebatch", "kubectl-imagebatch"])
def test_a_batch_goes_through_all_verbs(
    installation: Installation, shop: Shop, tmp_path: Path, door: str
) -> None:
    run = runner(installation, door)
    shop.gate.clear()
    file, output = tmp_path / "products.csv", tmp_path / "output.csv"
    file.write_bytes(csv_of([[shop.url(f"/gated/{row}-{door[0]}.jpg")] for row in range(1, ROWS + 1)]))
    name = name_of(run("submit", file, "--rows-per-shard", "2", "--parallelism", "2"), door)
    installation.until_running(name, 2)
    request_id = installation.status(name)["requestId"]

    run("suspend", name)
    until(lambda: not installation.pods(name), "the pods to be gone")
    installation.until_waits(name, "Suspended")
    assert "Suspended" in run("list")
    run("resume", name)
    installation.until_running(name, 2)
    run("cancel", name)
    installation.until_phase(name, "Cancelled")

    shop.gate.set()
    run("retry", name)
    run("watch", name)
    status = installation.until_phase(name, "Complete")
    assert (status["attempt"], status["images"]["succeeded"]) == (2, ROWS)
    run("results", name, "--output", output)
    assert len(output.read_text().splitlines()) == ROWS + 1

    run("delete", name, "--yes")
    until(lambda: name not in run("list"), "the batch to be gone from the list")
    if door == "imagebatch":
        until(lambda: not list(installation.store.list(keys.image_prefix(request_id))), "its images to go")
        until(lambda: not list(installation.store.list(keys.batch_prefix(request_id))), "its files to go")
    else:
        assert list(installation.store.list(keys.image_prefix(request_id))), "as after `kubectl delete`"


def test_the_api_of_a_cluster_checks_a_file_and_shows_a_batchs_images(
    installation: Installation, shop: Shop, tmp_path: Path
) -> None:
    run, rows = runner(installation, "imagebatch"), 3
    file = tmp_path / "checked.csv"
    file.write_bytes(csv_of([[shop.url(f"/p/{row}-checked.jpg")] for row in range(1, rows + 1)]))
    checked = json.loads(run("check", file, "--json"))
    assert (checked["rows"], checked["images"]) == (rows, rows)
    name = name_of(run("submit", file), "imagebatch")
    run("watch", name)
    images = installation.api.get(f"/batches/{name}/images").json()["images"]
    assert [(one["row"], one["error_code"]) for one in images] == [(row, None) for row in range(1, rows + 1)]
    run("delete", name, "--yes")


def test_kubectl_checks_a_file_and_asks_the_operator(
    installation: Installation, shop: Shop, tmp_path: Path
) -> None:
    run, hook = runner(installation, "kubectl-imagebatch"), "/hook/asked"
    file, errors, report = (tmp_path / name for name in ("asking.csv", "errors.csv", "report.csv"))
    file.write_bytes(csv_of([[shop.url("/p/1-asking.jpg")], [shop.url("/none.txt")]]))
    checked = json.loads(run("check", file, "--json"))
    assert (checked["rows"], checked["images"]) == (2, 2)
    assert "asking-" not in run("list", "--limit", "1000")

    name = name_of(run("submit", file, "--webhook-url", shop.url(hook)), "kubectl-imagebatch")
    assert "delivered" in run("webhooks", "test", name)
    run("watch", name)
    images = json.loads(run("images", name, "--json"))["images"]
    assert [image["error_code"] for image in images] == [None, "http_status"]
    run("results", name, "--errors", errors, "--report", report)
    assert [len(path.read_text().splitlines()) for path in (errors, report)] == [2, 3]

    until(lambda: len(shop.hooks.get(hook, [])) == 2, "the test, and the webhook")
    again = json.loads(run("webhooks", "redeliver", name, "--json"))
    until(lambda: len(shop.hooks[hook]) == 3, "the webhook once more")
    for received in shop.hooks[hook]:
        verify(received, installation.webhook_secret)
    ids = [received.headers["webhook-id"] for received in shop.hooks[hook]]
    assert ids[1:] == [again["webhook_id"]] * 2 != ids[:2]
    until(lambda: "delivered" in run("webhooks", "list", name), "the end of that to be told")
    run("delete", name, "--yes")


def test_a_shops_export_comes_back_by_kubectl(installation: Installation, shop: Shop, tmp_path: Path) -> None:
    run = runner(installation, "kubectl-imagebatch")
    file, output = tmp_path / "export.csv", tmp_path / "output.csv"
    lines = [f"shirt-{row},Shirt {row},{shop.url(f'/p/{row}.jpg')},{row}.50" for row in range(1, 4)]
    file.write_text("\n".join(["Handle,Title,Image Src,Price", *lines, ""]))
    name = name_of(run("submit", file, "--preset", "shopify", "--in-place"), "kubectl-imagebatch")
    run("watch", name)
    run("results", name, "--output", output)
    head, *rows = [line.split(",") for line in output.read_text().splitlines()]
    assert head == ["Handle", "Title", "Image Src", "Price", "Output Image Urls"]
    assert [row[0] for row in rows] == ["shirt-1", "shirt-2", "shirt-3"]
    assert all(row[2] == row[4] != "" for row in rows)
