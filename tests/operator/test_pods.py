"""What pods tell of why a batch waits."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imagebatch_operator.job import JobFacts
from imagebatch_operator.pods import NEVER, PodFacts, defect, pod_facts, running_shards, waiting

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def a_pod(**facts: Any) -> PodFacts:
    return PodFacts(**{"name": "p", "index": 0, **facts})


def test_a_pod_is_read() -> None:
    found = pod_facts(
        {
            "metadata": {
                "name": "p-3-xyz",
                "annotations": {"batch.kubernetes.io/job-completion-index": "3"},
                "deletionTimestamp": "2026-05-01T11:00:00Z",
            },
            "status": {
                "conditions": [{"type": "DisruptionTarget", "status": "True"}],
                "containerStatuses": [
                    {"name": "sidecar", "state": {"running": {}}},
                    {
                        "name": "jobrunner",
                        "state": {
                            "terminated": {
                                "exitCode": 75,
                                "message": "S3:\n denied\n",
                                "finishedAt": "2026-05-01T11:59:00Z",
                            }
                        },
                    },
                ],
            },
        }
    )
    assert (found.index, found.exit_code, found.last_word) == (3, 75, "S3: denied")
    assert found.is_disrupted
    assert not found.is_running
    assert found.is_stuck(NOW)
    assert not found.is_stuck(NOW - timedelta(minutes=55))


def test_a_fresh_pod_is_read() -> None:
    assert pod_facts({"metadata": {"name": "p"}}) == a_pod()


@pytest.mark.parametrize(
    ("pods", "reason", "words"),
    [
        (
            [a_pod(waiting_reason="ImagePullBackOff", waiting_message="no such image")],
            "ImageNotPulled",
            "no such",
        ),
        (
            [a_pod(waiting_reason="CreateContainerConfigError", waiting_message='secret "s3" not found')],
            "PodNotStarted",
            'secret "s3" not found',
        ),
        ([a_pod(unschedulable="0/1 nodes are available")], "Unschedulable", "0/1 nodes"),
        (
            [a_pod(exit_code=75, last_word="S3: AccessDenied", ended_at=NOW)],
            "StoreUnavailable",
            "AccessDenied",
        ),
        ([a_pod(exit_code=139, last_word="", ended_at=NOW)], "ShardsFailing", "code 139"),
        (
            [a_pod(is_running=True), a_pod(exit_code=75, last_word="S3: down", ended_at=NOW)],
            "StoreUnavailable",
            "S3: down",
        ),
    ],
    ids=["image", "secret", "unschedulable", "s3", "crash", "s3 while another tries"],
)
def test_what_keeps_pods_from_getting_on(pods: list[PodFacts], reason: str, words: str) -> None:
    found = waiting(pods, NEVER)
    assert found is not None
    assert found.reason == reason
    assert words in found.message


@pytest.mark.parametrize(
    "pods",
    [
        [],
        [a_pod()],
        [a_pod(is_running=True), a_pod(unschedulable="later")],
        [a_pod(exit_code=0, ended_at=NOW)],
        [a_pod(exit_code=143, ended_at=NOW)],
        [a_pod(exit_code=137, ended_at=NOW, is_disrupted=True)],
        [a_pod(exit_code=75, ended_at=NOW - timedelta(hours=1))],
    ],
    ids=["none", "starting", "some run", "done", "stopped", "evicted", "over since"],
)
def test_what_is_no_trouble(pods: list[PodFacts]) -> None:
    assert waiting(pods, NOW - timedelta(minutes=1)) is None


def test_a_defect_is_told_in_the_words_of_its_pod() -> None:
    job = JobFacts(ended="Failed", reason="PodFailurePolicy", message="Container jobrunner … exit code 78")
    assert defect(job, [a_pod(exit_code=78, last_word="no Pillow")]) == "no Pillow"
    assert defect(job, []) == job.message
    assert defect(JobFacts(ended="Failed", reason="FailedIndexes"), [a_pod(exit_code=78)]) == ""


def test_running_pods_are_named_by_their_shards() -> None:
    job = JobFacts(shards=(2, 3, 7))
    pods = [a_pod(index=2, is_running=True), a_pod(index=0, is_running=True), a_pod(index=1)]
    assert running_shards(job, pods) == [2, 7]


@pytest.mark.parametrize(
    ("ends", "is_defect"),
    [
        ([(71, "no memory")] * 3, True),
        ([(71, "no memory")] * 2, False),
        ([(71, "no memory"), (71, "no disk"), (71, "no memory")], False),
        ([(71, "no memory"), (71, "no memory"), (0, ""), (71, "no memory")], False),
        ([(75, "S3 denied")] * 9, False),
    ],
    ids=["three", "two", "another", "one that was done", "temporary"],
)
def test_the_same_refusal_in_three_fresh_pods_is_a_defect(
    ends: list[tuple[int, str]], *, is_defect: bool
) -> None:
    pods = [
        a_pod(name=f"p{number}", exit_code=code, last_word=word, ended_at=NOW + timedelta(seconds=number))
        for number, (code, word) in enumerate(ends)
    ]
    assert bool(defect(JobFacts(), pods)) is is_defect
    elsewhere = [PodFacts(name=pod.name, index=number) for number, pod in enumerate(pods)]
    assert defect(JobFacts(), elsewhere) == ""
