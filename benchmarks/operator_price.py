"""What the operator costs: a batch of one shard, from `kubectl apply` to Complete, beside a bare Job.

Usage: PYTHONPATH=tests/support python benchmarks/operator_price.py [ROUNDS]

Both run the same image over the same shard, in turn, on the cluster that the end-to-end tests use: the bare
Job has a copy of the batch's plan and canonical CSV.
"""

import copy
import statistics
import sys
import tempfile
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

from imagebatch.batch.plan import Plan
from imagebatch.storage import keys
from imagebatch.storage.store import CSV, JSON
from imagebatch_testing.cluster import choice
from imagebatch_testing.cluster.services import services
from imagebatch_testing.installation import Installation, installed, until
from imagebatch_testing.local import csv_of
from imagebatch_testing.shop import Shop, open_shop

ROUNDS = 7
IMAGES = 20
POLL_S = 0.1


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    namespace = f"price-{uuid.uuid4().hex[:8]}"
    with (
        choice.cluster() as cluster,
        tempfile.TemporaryDirectory() as folder,
        services(Path(folder).resolve(), cluster.host_address) as started,
        open_shop(cluster.host_address) as shop,
    ):
        cluster.kubectl("create", "namespace", namespace)
        with installed(cluster, namespace, started) as installation:
            _compare(installation, shop, rounds)
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def _compare(installation: Installation, shop: Shop, rounds: int) -> None:
    shop.gate.set()
    source = {"inline": csv_of([[shop.url(f"/p/{row}.jpg")] for row in range(IMAGES)]).decode()}
    batches, jobs = [], []
    for number in range(rounds + 1):
        name = f"price-{number}"
        start = time.monotonic()
        installation.apply(name, source)
        job = until(lambda name=name: _job_of(installation, name), "the batch's Job")  # type: ignore[misc]
        _until_complete(installation, f"ib/{name}")
        batches.append(time.monotonic() - start)
        bare_id = f"bare-{number}"
        _copy_input(installation, installation.status(name)["requestId"], bare_id)
        bare = _bare(job, bare_id)
        start = time.monotonic()
        installation.cluster.apply(bare)
        _until_complete(installation, f"job/{bare['metadata']['name']}")
        jobs.append(time.monotonic() - start)
    _show(batches[1:], jobs[1:])  # the first round warms caches up


def _until_complete(installation: Installation, what: str) -> None:
    installation.kubectl("wait", "--for=condition=Complete", what, "--timeout=60s", timeout_s=70)


def _job_of(installation: Installation, name: str) -> dict[str, Any] | None:
    selector = f"--selector=imagebatch.dev/batch={name}"
    found = installation.cluster.get("jobs", f"--namespace={installation.namespace}", selector)["items"]
    return found[0] if found else None


def _copy_input(installation: Installation, source: str, target: str) -> None:
    store = installation.store
    copied = store.put_stream(keys.canonical_input(target), [store.get(keys.canonical_input(source))], CSV)
    plan = Plan.from_json(store.get(keys.plan(source)))
    store.put(keys.plan(target), replace(plan, etag=copied.etag).to_json(), JSON)


def _bare(job: dict[str, Any], bare_id: str) -> dict[str, Any]:
    """The same Job without an owner, for another request."""
    found = copy.deepcopy(job)
    template = found["spec"]["template"]
    template["metadata"] = {}
    for entry in template["spec"]["containers"][0]["env"]:
        if entry["name"] == "IMAGEBATCH_REQUEST_ID":
            entry["value"] = bare_id
    kept = (
        "completionMode",
        "completions",
        "parallelism",
        "backoffLimitPerIndex",
        "podReplacementPolicy",
        "podFailurePolicy",
    )
    spec = {name: found["spec"][name] for name in kept}
    metadata = {"name": bare_id, "namespace": found["metadata"]["namespace"]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {**spec, "template": template},
    }


def _show(batches: list[float], jobs: list[float]) -> None:
    print("| | n | median s | min s | max s |\n|---|---|---|---|---|")
    for name, found in (("ImageBatch", batches), ("bare Job", jobs)):
        median = statistics.median(found)
        print(f"| {name} | {len(found)} | {median:.2f} | {min(found):.2f} | {max(found):.2f} |")
    price = statistics.median(one - other for one, other in zip(batches, jobs, strict=True))
    print(f"\nThe operator's price: {price:.2f} s (median of the differences)")


if __name__ == "__main__":
    main()
