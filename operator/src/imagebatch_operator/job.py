"""The Job of an attempt: built purely, created once, read back as facts.

One Indexed Job does all open shards of an attempt. After its creation only `suspend` and `parallelism` are
ever patched: applying a Job anew after a change of the pod template would be refused, and an upgrade of
the operator would wedge every batch that runs.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from imagebatch import custom_resource
from imagebatch.batch.exit_codes import Exit
from imagebatch.batch.shard import indexes_of, indexes_text
from imagebatch.batch.shard_ends import MAX_SHARD_FAILURES
from imagebatch.batch.spec import BatchSpec
from imagebatch.custom_resource import ImageBatch
from imagebatch.settings import S3Settings, variable
from imagebatch.storage.keys import InputKeys
from imagebatch_operator.names import ATTEMPT, BATCH, CONTAINER, LINKS_UNTIL, SHARDS, batch_labels
from imagebatch_operator.settings import OperatorSettings

Json = dict[str, Any]

MAX_SLUG_CHARS = 40
GRACE_S = 30
USER_ID = 10001
LINKS_LIFETIME = timedelta(days=7)
"""The longest that S3 signs for."""
LINKS_MARGIN = timedelta(days=1)
S3_FIELDS = ("s3_endpoint", "s3_bucket", "s3_region", "s3_addressing")


def job_name(batch: ImageBatch) -> str:
    """The name of the attempt's Job: short enough for the pods that are named after it."""
    slug = re.sub(r"[^a-z0-9]+", "-", batch.key.name)[:MAX_SLUG_CHARS].strip("-")
    return f"{slug}-{batch.uid[:8]}-a{batch.attempt}"


@dataclass(frozen=True, slots=True)
class InputLinks:
    """Signed links to what the pods read but their S3 key may not, and until when they are good."""

    plan_url: str
    input_url: str
    until: datetime


@dataclass(frozen=True, slots=True)
class JobInput:
    """Where the batch's input is; with links, when the pods' S3 key may not read it."""

    keys: InputKeys
    links: InputLinks | None = None


def shard_job(
    batch: ImageBatch,
    shards: Sequence[int],
    all_shards: int,
    settings: OperatorSettings,
    given: JobInput,
) -> Json:
    """The Job that does `shards` of a batch that has `all_shards` of them."""
    links = given.links
    labels = batch_labels(batch.uid, batch.request_id, batch.key.name)
    annotations = {**_annotations(batch), SHARDS: indexes_text(shards)}
    environment = _environment(batch, shards, all_shards, settings)
    environment += [
        {"name": "IMAGEBATCH_PLAN_KEY", "value": given.keys.plan},
        {"name": "IMAGEBATCH_INPUT_KEY", "value": given.keys.canonical},
    ]
    if links is not None:
        annotations[LINKS_UNTIL] = links.until.isoformat()
        environment += [
            {"name": "IMAGEBATCH_PLAN_URL", "value": links.plan_url},
            {"name": "IMAGEBATCH_INPUT_URL", "value": links.input_url},
        ]
    desired = BatchSpec.from_spec(batch.spec).desired
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(batch),
            "namespace": batch.key.namespace,
            "labels": labels,
            "annotations": annotations,
            "ownerReferences": [_owner(batch)],
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": len(shards),
            "parallelism": min(desired.parallelism, len(shards)),
            "suspend": desired.suspend,
            "backoffLimitPerIndex": MAX_SHARD_FAILURES - 1,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": _failure_rules()},
            "template": _pod(batch, settings, labels, environment),
        },
    }


def _annotations(batch: ImageBatch) -> Json:
    return {BATCH: batch.key.name, ATTEMPT: str(batch.attempt)}


def _owner(batch: ImageBatch) -> Json:
    return {
        "apiVersion": custom_resource.API_VERSION,
        "kind": custom_resource.KIND,
        "name": batch.key.name,
        "uid": batch.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _failure_rules() -> list[Json]:
    """What an end of a pod means; `imagebatch_cli.shard_history` says the same of processes."""

    def on_exit(action: str, *codes: Exit) -> Json:
        values = sorted(int(code) for code in codes)
        return {
            "action": action,
            "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": values},
        }

    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        on_exit("Ignore", Exit.TEMPORARY, Exit.SYSTEM),
        on_exit("FailJob", Exit.DEFECT),
        on_exit("FailIndex", Exit.POISON_SHARD),
    ]


def _pod(batch: ImageBatch, settings: OperatorSettings, labels: Json, environment: list[Json]) -> Json:
    changes = settings.jobrunner_pod
    elsewhere = {"labels", "annotations", "resources"}
    placed = {name: value for name, value in changes.items() if value and name not in elsewhere}
    container = {
        "name": CONTAINER,
        "image": settings.jobrunner_image,
        "imagePullPolicy": settings.jobrunner_image_pull_policy,
        "env": environment,
        "resources": changes.get("resources", {}),
        "terminationMessagePolicy": "File",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - in the pod
    }
    return {
        "metadata": {
            "labels": {**changes.get("labels", {}), **labels},
            "annotations": {**changes.get("annotations", {}), **_annotations(batch)},
        },
        "spec": {
            **placed,
            "restartPolicy": "Never",
            "serviceAccountName": settings.jobrunner_service_account,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": GRACE_S,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER_ID,
                "runAsGroup": USER_ID,
                "fsGroup": USER_ID,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


def _environment(
    batch: ImageBatch, shards: Sequence[int], all_shards: int, settings: OperatorSettings
) -> list[Json]:
    spec = BatchSpec.from_spec(batch.spec)
    plain = {
        **settings.jobrunner_env,
        **{variable(S3Settings, name): getattr(settings, name) for name in S3_FIELDS},
        "IMAGEBATCH_ALLOWED_NETWORKS": settings.allowed_networks,
        "IMAGEBATCH_REQUEST_ID": batch.request_id,
        "IMAGEBATCH_ATTEMPT": batch.attempt,
        "IMAGEBATCH_PARALLELISM": min(spec.desired.parallelism, len(shards)),
        "IMAGEBATCH_COMPRESSION": json.dumps(spec.compression.as_spec()),
    }
    if len(shards) != all_shards:
        plain["IMAGEBATCH_SHARDS"] = indexes_text(shards)
    run = {"name": "IMAGEBATCH_RUN", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    return [*({"name": name, "value": str(value)} for name, value in plain.items()), run, *_keys(settings)]


def _keys(settings: OperatorSettings) -> list[Json]:
    """The jobrunner's own S3 keys, by reference: the operator never reads them."""
    if not settings.jobrunner_s3_secret:
        return []
    entries = {"s3_access_key": "accessKey", "s3_secret_key": "secretKey"}
    return [
        {
            "name": variable(S3Settings, field),
            "valueFrom": {"secretKeyRef": {"name": settings.jobrunner_s3_secret, "key": entry}},
        }
        for field, entry in entries.items()
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """What a Job says of itself, by shard. `failed` shards will not be tried again.

    `ended` is Complete or Failed, or nothing; `reason` and `message` say why it failed.
    """

    uid: str = ""
    active: int = 0
    completed: frozenset[int] = frozenset()
    failed: frozenset[int] = frozenset()
    shards: tuple[int, ...] = ()
    is_suspended: bool = False
    is_deleted: bool = False
    parallelism: int = 0
    links_until: datetime | None = None
    ended: str = ""
    reason: str = ""
    message: str = ""

    def needs_new_links(self, now: datetime) -> bool:
        """Whether pods that start from now on could find their links expired."""
        return not self.ended and self.links_until is not None and now > self.links_until - LINKS_MARGIN

    def needs(self, parallelism: int, *, suspend: bool) -> Json:
        """The patch that makes the Job's spec as desired; empty when it is."""
        patch: Json = {}
        if self.is_suspended != suspend:
            patch["suspend"] = suspend
        wanted = min(parallelism, len(self.shards))
        if self.parallelism != wanted:
            patch["parallelism"] = wanted
        return {"spec": patch} if patch and not self.ended else {}


def job_facts(job: Mapping[str, Any]) -> JobFacts:
    """Read a Job of ours."""
    status, spec, metadata = job.get("status", {}), job["spec"], job["metadata"]
    shards = indexes_of(metadata["annotations"][SHARDS])
    ended: Mapping[str, Any] = next(
        (
            found
            for found in status.get("conditions", ())
            if found["type"] in {"Complete", "Failed"} and found["status"] == "True"
        ),
        {},
    )
    return JobFacts(
        uid=metadata.get("uid", ""),
        active=status.get("active", 0),
        completed=_mapped(status.get("completedIndexes", ""), shards),
        failed=_mapped(status.get("failedIndexes", ""), shards),
        shards=shards,
        is_suspended=spec.get("suspend", False),
        is_deleted="deletionTimestamp" in metadata,
        parallelism=spec["parallelism"],
        links_until=_moment(metadata["annotations"].get(LINKS_UNTIL)),
        ended=ended.get("type", ""),
        reason=ended.get("reason", ""),
        message=ended.get("message", ""),
    )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _mapped(indexes: str, shards: Sequence[int]) -> frozenset[int]:
    return frozenset(shards[index] for index in indexes_of(indexes) if index < len(shards))
