"""`kubectl imagebatch` against a real API server with the real operator, whose Job controller is played."""

import asyncio
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from imagebatch.batch.shard import ShardId
from imagebatch.storage import keys
from imagebatch.storage.s3 import S3Store
from imagebatch.storage.store import CSV
from imagebatch_cli.kubectl import sources
from imagebatch_cli.screen import HEAD
from imagebatch_testing.chart import load
from imagebatch_testing.cluster import programs
from imagebatch_testing.control_plane import ControlPlane
from imagebatch_testing.kubectl import PROGRAM, Kubectl, runner
from imagebatch_testing.local import csv_of
from imagebatch_testing.operated import Batch, Make
from imagebatch_testing.waiting import until
from imagebatch_testing.without_nodes import NAMESPACE, JobController, Objects, leave_report, new_name

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.integration,
    pytest.mark.timeout(120, func_only=True),
    pytest.mark.usefixtures("operator"),
]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "kubernetes.md"
ROWS = 2


def a_file(folder: Path, data: bytes | None = None) -> Path:
    path = folder / "Frühling 2026.csv"
    path.write_bytes(data or csv_of([[f"http://shop.example/{number}.jpg"] for number in range(ROWS)]))
    return path


async def submitted(kubectl: Kubectl, objects: Objects, store: S3Store, *words: object) -> Batch:
    done = await kubectl("submit", *words)
    assert done.code == 0, done.stderr
    name, phase, *_ = done.stdout.split()
    assert phase == "Pending"
    assert f"kubectl imagebatch watch {name} -n {NAMESPACE}" in done.stderr
    return Batch(name, (await objects.get(name))["metadata"]["uid"], objects, store)


async def finish_with_a_failure(batch: Batch) -> None:
    """Have the shards done, the second image failed."""
    job = await batch.job()
    for index in range(ROWS):
        shard = ShardId(batch.uid, 1, index)
        await asyncio.to_thread(leave_report, batch.store, shard, failed=index == 1)
    await job.complete(*range(ROWS))
    await batch.until_phase("Complete")


# -- submit ------------------------------------------------------------------------------------------------


async def test_a_short_file_is_in_the_object_with_what_was_asked_for(
    kubectl: Kubectl, objects: Objects, bucket: S3Store, tmp_path: Path
) -> None:
    options = (
        "--quality", "60", "--max-width", "800", "--progressive", "--keep-metadata", "--rows-per-shard", "1",
        "--parallelism", "2", "--max-failed-percent", "50", "--deadline-seconds", "900",
        "--keep-images-days", "0.5", "--keep-outputs-days", "0",
        "--webhook-url", "https://hooks.example/done", "--columns", "serial=Serial Number,links=Input Image Urls",
    )  # fmt: skip
    file = a_file(tmp_path)
    batch = await submitted(kubectl, objects, bucket, file, *options)
    assert batch.name.startswith("fr-hling-2026-")
    assert (await objects.get(batch.name))["spec"] == {
        "source": {
            "inline": file.read_text(),
            "columns": {"serial": "Serial Number", "links": ["Input Image Urls"]},
        },
        "compression": {"quality": "60", "maxWidth": 800, "progressive": True, "stripMetadata": False},
        "sharding": {"rowsPerShard": 1, "parallelism": 2},
        "limits": {"maxFailedPercent": 50, "deadlineSeconds": 900},
        "keepDays": {"outputs": 0, "images": 0.5},
        "webhook": {"url": "https://hooks.example/done"},
    }
    assert (await batch.finish())["images"]["succeeded"] == ROWS


def padded(size: int, tail: str = "") -> bytes:
    """A CSV of about so many bytes."""
    row = b"1," + b"x" * 1000 + b",http://shop.example/1.jpg\n"
    head = b"Serial Number,Product Name,Input Image Urls\n"
    return head + row * ((size - len(head) - len(tail)) // len(row)) + tail.encode("windows-1252")


@pytest.mark.parametrize(
    "data",
    [
        padded(200 * 1024),
        padded(sources.MAX_CONFIG_MAP_BYTES),
        padded(2048, "2,Stühle,http://shop.example/2.jpg\n"),
    ],
    ids=["longer", "a MiB", "not UTF-8"],
)
async def test_a_longer_file_is_in_a_config_map_that_goes_with_the_object(
    kubectl: Kubectl, objects: Objects, bucket: S3Store, tmp_path: Path, data: bytes
) -> None:
    batch = await submitted(kubectl, objects, bucket, a_file(tmp_path, data))
    source = (await objects.get(batch.name))["spec"]["source"]
    assert source == {"configMap": {"name": batch.name, "key": sources.ENTRY}}
    config_map = await objects.ask("GET", f"{objects.core('configmaps')}/{batch.name}")
    (owner,) = config_map["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("ImageBatch", batch.uid)
    status = await objects.until_status(batch.name, lambda status: bool(status.get("rows")))
    assert status["rows"] == data.count(b"\n") - 1


async def test_a_file_that_is_too_long_is_refused_with_where_to_put_it(
    kubectl: Kubectl, objects: Objects, bucket: S3Store, tmp_path: Path
) -> None:
    refused = await kubectl("submit", a_file(tmp_path, padded(2 * 1024 * 1024)))
    assert (refused.code, f"--s3-key imports/{NAMESPACE}/NAME.csv" in refused.stderr) == (2, True)
    key = f"{keys.imports_prefix(NAMESPACE)}{new_name('big')}.csv"
    await asyncio.to_thread(bucket.put, key, padded(4096), CSV)
    batch = await submitted(kubectl, objects, bucket, "--s3-key", key)
    await objects.until_status(batch.name, lambda status: status.get("rows") == 3)
    elsewhere = await kubectl("submit", "--s3-key", "batches/other/input.csv")
    assert (elsewhere.code, "source_forbidden" in elsewhere.stderr) == (2, True)


async def test_what_can_not_be_used_is_refused_before_anything_is_made(
    kubectl: Kubectl, objects: Objects, tmp_path: Path
) -> None:
    name = new_name("taken")
    bad = await kubectl("submit", a_file(tmp_path, b"Product\nShirt\n"), "--name", name)
    assert (bad.code, "wrong_header" in bad.stderr) == (2, True)
    assert await objects.is_gone(name)
    assert (await kubectl("submit")).code == 2
    good = a_file(tmp_path)
    assert (await kubectl("submit", good, "--name", name)).code == 0
    again = await kubectl("submit", good, "--name", name)
    assert (again.code, "already exists" in again.stderr) == (2, True)


async def test_a_config_map_that_can_not_be_made_takes_its_batch_with_it(
    kubectl: Kubectl, objects: Objects, tmp_path: Path
) -> None:
    name = new_name("crowded")
    await objects.ask("POST", objects.core("configmaps"), json={"metadata": {"name": name}})
    done = await kubectl("submit", a_file(tmp_path, padded(200 * 1024)), "--name", name)
    assert (done.code, "already exists" in done.stderr) == (2, True)
    await until(lambda: objects.is_gone(name))


# -- looking -----------------------------------------------------------------------------------------------


async def test_a_batch_is_watched_to_its_end_and_its_results_are_saved(
    kubectl: Kubectl, objects: Objects, bucket: S3Store, tmp_path: Path
) -> None:
    batch = await submitted(kubectl, objects, bucket, a_file(tmp_path), "--rows-per-shard", "1")
    watching = asyncio.create_task(kubectl("watch", batch.name, "--json"))
    early = await kubectl("results", batch.name)
    assert (early.code, "has not ended" in early.stderr) == (2, True)
    await finish_with_a_failure(batch)
    watched = await watching
    documents = [json.loads(line) for line in watched.stdout.splitlines()]
    assert (watched.code, documents[-1]["status"], documents[-1]["name"]) == (0, "complete", batch.name)
    assert documents[-1]["request_id"] == batch.uid
    shown = await kubectl("watch", batch.name)
    assert (shown.code, "Complete: 1 of 2 images done, 1 failed" in shown.stdout) == (0, True)
    assert "1 http_status" in shown.stdout
    saved = await kubectl("results", batch.name)
    assert saved.code == 0, saved.stderr
    assert (tmp_path / f"{batch.name}_output.csv").read_text().count("/images/") == 1
    private = await kubectl("results", batch.name, "--errors", "e.csv", "--report", "r.csv")
    assert private.code == 0, private.stderr
    assert (tmp_path / "e.csv").read_text().count("http_status") == 1
    assert len((tmp_path / "r.csv").read_text().splitlines()) == ROWS + 1


async def test_ctrl_c_leaves_the_batch_and_says_how_to_go_on(
    make: Make, kubeconfig_only: dict[str, str], tmp_path: Path
) -> None:
    batch = await make("interrupted")
    await batch.job()
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            PROGRAM, "watch", batch.name, "-n", NAMESPACE, env=kubeconfig_only, stdout=output, stderr=output
        )
    await until(lambda: b"0/2" in log.read_bytes())
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 130
    assert f"kubectl imagebatch watch {batch.name} -n {NAMESPACE}" in log.read_text()
    assert (await batch.finish())["phase"] == "Complete"


async def test_one_that_is_deleted_while_it_is_watched_is_told(make: Make, kubectl: Kubectl) -> None:
    batch = await make("vanishing")
    await batch.job()
    watching = asyncio.create_task(kubectl("watch", batch.name))
    await batch.objects.delete(batch.name)
    await until(lambda: batch.objects.is_gone(batch.name))
    done = await watching
    assert done.code == 2
    assert "was deleted" in done.stderr or "not found" in done.stderr


async def test_a_list_has_a_line_a_batch(make: Make, kubectl: Kubectl) -> None:
    await make("older")
    batch = await make("listed")
    await batch.finish()
    shown = await kubectl("list", "--limit", 1000, "--status", "complete")
    head, *lines = shown.stdout.splitlines()
    assert head.split() == list(HEAD)
    (line,) = [line for line in lines if line.startswith(f"{batch.name} ")]
    assert line.split()[1:3] == ["Complete", "2/2"]
    document = json.loads((await kubectl("list", "--limit", 1, "--json")).stdout)
    assert len(document["batches"]) == 1
    assert "more: --limit" in (await kubectl("list", "--limit", 1)).stderr


async def test_why_says_what_holds_it_up_and_what_happened(make: Make, kubectl: Kubectl) -> None:
    batch = await make("stuck")
    job = await batch.job()
    await job.make_pod(0, {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})
    await batch.objects.until_waits(batch.name, "ImageNotPulled")
    await batch.until_events("Planned", "JobCreated", "ImageNotPulled")
    why = await kubectl("why", batch.name)
    assert why.code == 0, why.stderr
    assert "It does not go on: ImageNotPulled: " in why.stdout
    assert "no such image" in why.stdout
    assert "JobCreated" in why.stdout
    document = json.loads((await kubectl("why", batch.name, "--json")).stdout)
    assert (document["reason"], document["progressing"]["status"]) == ("ImageNotPulled", "False")
    assert "Planned" in {event["reason"] for event in document["events"]}


# -- verbs -------------------------------------------------------------------------------------------------


async def test_the_verbs_change_the_spec(make: Make, kubectl: Kubectl) -> None:
    batch = await make("changed")
    await batch.job()
    assert (await kubectl("suspend", batch.name)).code == 0
    await batch.objects.until_waits(batch.name, "Suspended")
    for verb in ("retry", "delete"):
        early = await kubectl(verb, batch.name)
        assert (early.code, "still_running" in early.stderr) == (2, True)
    assert json.loads((await kubectl("resume", batch.name, "--json")).stdout)["name"] == batch.name
    await batch.objects.until_status(batch.name, lambda status: "reason" not in status)
    assert (await kubectl("cancel", batch.name)).code == 0
    await batch.until_phase("Cancelled")
    assert (await kubectl("cancel", batch.name)).code == 0
    late = await kubectl("suspend", batch.name)
    assert (late.code, "already_finished" in late.stderr) == (2, True)
    assert (await kubectl("delete", batch.name)).stdout == f"{batch.name}  deleted\n"
    await until(lambda: batch.objects.is_gone(batch.name))


async def test_retry_runs_again_what_failed_or_was_cancelled(make: Make, kubectl: Kubectl) -> None:
    batch = await make("tried")
    job = await batch.job()
    await asyncio.to_thread(leave_report, batch.store, ShardId(batch.uid, 1, 0))
    await job.complete(0)
    await kubectl("cancel", batch.name)
    await batch.until_phase("Cancelled")
    retried = await kubectl("retry", batch.name)
    assert (retried.code, retried.stdout.split()[:2]) == (0, [batch.name, "Pending"])
    watching = asyncio.create_task(kubectl("watch", batch.name))
    second = JobController(batch.objects, await batch.objects.until_job(batch.uid, _is_second))
    for index, shard in enumerate(second.shards):
        await asyncio.to_thread(leave_report, batch.store, ShardId(batch.uid, 2, shard))
        await second.complete(index)
    watched = await watching
    assert (watched.code, "2 of 2 images done" in watched.stdout) == (0, True)
    again = await kubectl("retry", batch.name)
    assert (again.code, "nothing_to_retry" in again.stderr) == (2, True)


def _is_second(job: dict[str, Any]) -> bool:
    return str(job["metadata"]["name"]).endswith("-a2")


# -- how it is reached -------------------------------------------------------------------------------------


async def test_kubectl_finds_it_as_a_plugin(plane: ControlPlane, kubeconfig_only: dict[str, str]) -> None:
    path = os.pathsep.join([str(PROGRAM.parent), kubeconfig_only.get("PATH", os.defpath)])
    process = await asyncio.create_subprocess_exec(
        *programs.kubectl(), "imagebatch", "list", "--namespace", NAMESPACE,
        env=kubeconfig_only | {"PATH": path, "KUBECONFIG": str(plane.kubeconfig)},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    assert stdout.decode().split()[: len(HEAD)] == list(HEAD)


async def a_user_with_the_role_of_the_docs(plane: ControlPlane, objects: Objects, folder: Path) -> Path:
    """The kubeconfig of one who may do what docs/kubernetes.md gives to a team, and no more."""
    page = PAGE.read_text()
    shown = re.search(r"<!-- tested: role -->\n```yaml\n(.+?)\n```", page, re.DOTALL)
    assert shown is not None
    (role,) = load(shown[1].replace("team-a", NAMESPACE))
    name = new_name("user")
    role["metadata"]["name"] = name
    rights = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
    binding = {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}],
    }
    await objects.ask("POST", objects.core("serviceaccounts"), json={"metadata": {"name": name}})
    await objects.ask("POST", f"{rights}/roles", json=role)
    await objects.ask("POST", f"{rights}/rolebindings", json=binding)
    asked = {"spec": {"expirationSeconds": 3600}}
    made = await objects.ask("POST", f"{objects.core('serviceaccounts')}/{name}/token", json=asked)
    kubeconfig = folder / "team.kubeconfig"
    kubeconfig.write_text(plane.kubeconfig.read_text().replace(plane.token, made["status"]["token"]))
    return kubeconfig


async def test_the_role_of_the_docs_is_enough_for_every_verb(
    plane: ControlPlane, objects: Objects, bucket: S3Store, kubeconfig_only: dict[str, str], tmp_path: Path
) -> None:
    kubeconfig = await a_user_with_the_role_of_the_docs(plane, objects, tmp_path)
    kubectl = runner(kubeconfig_only | {"KUBECONFIG": str(kubeconfig)}, tmp_path)
    batch = await submitted(kubectl, objects, bucket, a_file(tmp_path, padded(200 * 1024)))
    await batch.job()
    for words in (
        ["check", tmp_path / "Frühling 2026.csv"],
        ["list"],
        ["why", batch.name],
        ["suspend", batch.name],
        ["resume", batch.name],
        ["cancel", batch.name],
    ):
        done = await kubectl(*words)
        assert done.code == 0, (words, done.stderr)
    watched = await kubectl("watch", batch.name)
    assert (watched.code, "Cancelled" in watched.stdout) == (1, True), watched.stderr
    for words in (
        ["results", batch.name],
        ["results", batch.name, "--errors", "e.csv"],
        ["images", batch.name],
        ["webhooks", "list", batch.name],
        ["retry", batch.name],
        ["cancel", batch.name],
        ["watch", batch.name],
    ):
        done = await kubectl(*words)
        assert done.code == (words[0] == "watch"), (words, done.stderr)
    deleted = await kubectl("delete", batch.name)
    assert deleted.code == 0, deleted.stderr


async def test_what_there_is_not_is_told(kubectl: Kubectl) -> None:
    for verb in ("watch", "why", "cancel", "results", "images"):
        done = await kubectl(verb, "nobody")
        assert (done.code, "not found" in done.stderr) == (2, True), verb
    context = await kubectl("list", "--context", "nowhere")
    assert (context.code, "nowhere" in context.stderr) == (1, True)
