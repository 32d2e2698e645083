"""The Job of an attempt, as built and as read back."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imagebatch.batch.exit_codes import Exit
from imagebatch.errors import SettingsError
from imagebatch.settings import read
from imagebatch.storage.keys import InputKeys
from imagebatch_operator.job import InputLinks, JobInput, job_facts, job_name, shard_job
from imagebatch_operator.settings import OperatorSettings

from .conftest import UID, MakeBatch

INPUT = JobInput(InputKeys("batches/r1/input-5e.csv", "batches/r1/plan-5e.json"))


def environment(job: dict[str, Any]) -> dict[str, Any]:
    container = job["spec"]["template"]["spec"]["containers"][0]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def test_one_indexed_job_does_all_shards(a_batch: MakeBatch, settings: OperatorSettings) -> None:
    job = shard_job(a_batch({"sharding": {"parallelism": 3}}), range(10), 10, settings, INPUT)
    spec = job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 10, 3)
    assert (spec["backoffLimitPerIndex"], spec["podReplacementPolicy"]) == (3, "Failed")
    assert "maxFailedIndexes" not in spec
    assert "ttlSecondsAfterFinished" not in spec
    assert job["metadata"]["ownerReferences"][0]["uid"] == UID
    assert "IMAGEBATCH_SHARDS" not in environment(job)
    assert environment(job)["IMAGEBATCH_PARALLELISM"] == "3"
    assert environment(job)["IMAGEBATCH_PLAN_KEY"] == INPUT.keys.plan
    assert environment(job)["IMAGEBATCH_INPUT_KEY"] == INPUT.keys.canonical


def test_the_failure_policy_names_the_container_and_stands_in_its_order(
    a_batch: MakeBatch, settings: OperatorSettings
) -> None:
    rules = shard_job(a_batch(), range(2), 2, settings, INPUT)["spec"]["podFailurePolicy"]["rules"]
    assert rules[0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    codes = [(rule["action"], rule["onExitCodes"]["values"]) for rule in rules[1:]]
    assert codes == [
        ("Ignore", [Exit.SYSTEM, Exit.TEMPORARY]),
        ("FailJob", [Exit.DEFECT]),
        ("FailIndex", [Exit.POISON_SHARD]),
    ]
    assert {rule["onExitCodes"]["containerName"] for rule in rules[1:]} == {"jobrunner"}


def test_a_retry_runs_only_the_open_shards(a_batch: MakeBatch, settings: OperatorSettings) -> None:
    job = shard_job(a_batch({"attempt": 2}), [1, 4, 5, 6], 9, settings, INPUT)
    assert job["spec"]["completions"] == 4
    assert environment(job)["IMAGEBATCH_SHARDS"] == "1,4-6"
    assert environment(job)["IMAGEBATCH_ATTEMPT"] == "2"
    assert job["metadata"]["name"].endswith("-a2")


def test_a_pod_has_no_rights_and_no_secret_of_the_operator(
    a_batch: MakeBatch, settings: OperatorSettings
) -> None:
    job = shard_job(a_batch(), range(1), 1, settings, INPUT)
    pod = job["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    container = pod["containers"][0]["securityContext"]
    assert container["readOnlyRootFilesystem"] is True
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert "operators" not in json.dumps(job)
    assert "DATABASE_URL" not in environment(job)
    keys = environment(job)["IMAGEBATCH_S3_SECRET_KEY"]
    assert keys == {"secretKeyRef": {"name": "jobrunner-s3", "key": "secretKey"}}


def test_pods_get_links_to_their_own_input_and_a_job_outlives_them_not(
    a_batch: MakeBatch, settings: OperatorSettings
) -> None:
    until = datetime(2026, 5, 8, tzinfo=UTC)
    links = InputLinks("https://s3/plan?signed", "https://s3/input?signed", until)
    job = shard_job(a_batch(), range(1), 1, settings, JobInput(INPUT.keys, links))
    assert environment(job)["IMAGEBATCH_PLAN_URL"] == "https://s3/plan?signed"
    assert environment(job)["IMAGEBATCH_INPUT_URL"] == "https://s3/input?signed"
    facts = job_facts(job)
    assert not facts.needs_new_links(until - timedelta(days=2))
    assert facts.needs_new_links(until - timedelta(hours=2))
    ended = job_facts({**job, "status": {"conditions": [{"type": "Complete", "status": "True"}]}})
    assert not ended.needs_new_links(until)
    assert not job_facts(shard_job(a_batch(), range(1), 1, settings, INPUT)).needs_new_links(until)


def test_with_cloud_identity_no_key_is_named(a_batch: MakeBatch, settings: OperatorSettings) -> None:
    job = shard_job(a_batch(), range(1), 1, settings.model_copy(update={"jobrunner_s3_secret": ""}), INPUT)
    assert "IMAGEBATCH_S3_ACCESS_KEY" not in environment(job)


def test_the_administrator_places_pods(a_batch: MakeBatch, settings: OperatorSettings) -> None:
    changes = {
        "resources": {"limits": {"memory": "3Gi"}},
        "nodeSelector": {"disk": "fast"},
        "labels": {"team": "shop", "imagebatch.dev/batch-uid": "forged"},
        "tolerations": [],
    }
    job = shard_job(a_batch(), range(1), 1, settings.model_copy(update={"jobrunner_pod": changes}), INPUT)
    template = job["spec"]["template"]
    assert template["spec"]["nodeSelector"] == {"disk": "fast"}
    assert "tolerations" not in template["spec"]
    assert template["spec"]["containers"][0]["resources"] == {"limits": {"memory": "3Gi"}}
    assert template["metadata"]["labels"]["team"] == "shop"
    assert template["metadata"]["labels"]["imagebatch.dev/batch-uid"] == UID


@pytest.mark.parametrize(
    "name",
    ["a", "x" * 253, "a.b.c-" + "9" * 60, "123.456"],
    ids=["short", "longest", "dots", "digits"],
)
def test_the_jobs_name_leaves_room_for_its_pods(a_batch: MakeBatch, name: str) -> None:
    found = job_name(a_batch({"attempt": 1_000_000}, name=name))
    assert len(found) + len("-999-abcde") <= 63 + 10
    assert len(found) <= 63
    assert found.replace("-", "").isalnum()


def test_a_job_is_read_back_by_shard(a_batch: MakeBatch, settings: OperatorSettings) -> None:
    job = shard_job(a_batch(), [2, 3, 7], 9, settings, INPUT)
    job["status"] = {
        "active": 1,
        "completedIndexes": "0,2",
        "failedIndexes": "1",
        "conditions": [
            {"type": "FailureTarget", "status": "True"},
            {"type": "Failed", "status": "True", "reason": "FailedIndexes", "message": "m"},
        ],
    }
    facts = job_facts(job)
    assert facts.shards == (2, 3, 7)
    assert facts.completed == {2, 7}
    assert facts.failed == {3}
    assert (facts.ended, facts.reason, facts.active) == ("Failed", "FailedIndexes", 1)


def test_only_suspend_and_parallelism_are_ever_patched(
    a_batch: MakeBatch, settings: OperatorSettings
) -> None:
    facts = job_facts(shard_job(a_batch({"sharding": {"parallelism": 4}}), range(8), 8, settings, INPUT))
    assert facts.needs(4, suspend=False) == {}
    assert facts.needs(100, suspend=True) == {"spec": {"suspend": True, "parallelism": 8}}


def test_unknown_pod_fields_stop_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEBATCH_JOBRUNNER_POD", '{"hostNetwork": true}')
    with pytest.raises(SettingsError, match=r"IMAGEBATCH_JOBRUNNER_POD: .* unknown: hostNetwork"):
        read(OperatorSettings)
