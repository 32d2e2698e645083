"""Why a batch does not go on, as its status says it: pods that do not start, ends that are tried again."""

from typing import Any

import pytest

from imagebatch.batch.exit_codes import Exit
from imagebatch_testing.operated import Make, condition
from imagebatch_testing.without_nodes import (
    NAMESPACE,
    new_name,
)

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.integration,
    pytest.mark.timeout(120, func_only=True),
    pytest.mark.usefixtures("operator"),
]


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
