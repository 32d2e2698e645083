"""The ImageBatch custom resource: how an upload becomes an object, and an object a request.

The API creates these objects and the operator processes them; neither knows the other. The schema is the
chart's CustomResourceDefinition.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from imagebatch.batch.lifecycle import Phase, Waiting
from imagebatch.batch.spec import BatchSpec
from imagebatch.batch.work_queue import Key
from imagebatch.errors import InputRefusedError
from imagebatch.outcome import Counts, Qualities
from imagebatch.records import NewRequest, Removed, Request
from imagebatch.storage import keys

GROUP = "imagebatch.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ImageBatch"
PLURAL = "imagebatches"

INPUT_SHA256 = f"{GROUP}/input-sha256"
"""Annotation: the digest of an upload's file as it came, by which a repeated upload is known."""

UPLOADED_BY = f"{GROUP}/uploaded-by"
"""Annotation: the name of the token it was uploaded with, whose holders alone see it through the API."""

LINKS_REQUESTED_AT = f"{GROUP}/links-requested-at"
REDELIVERY_REQUESTED_AT = f"{GROUP}/redelivery-requested-at"
WEBHOOK_TEST_REQUESTED_AT = f"{GROUP}/webhook-test-requested-at"
"""Annotations by which a user asks the operator, once for each value, which is a time."""

MAX_ASKED_CHARS = 64

RESTORES = f"{GROUP}/restores"
"""Annotation of an object that was made again from its row, with the word that the row was given for it."""


Json = Mapping[str, Any]

SECRET_KEY = "secret"  # noqa: S105 - the default name of the entry in the user's Secret


class ImageBatch:
    """A view on the object `body`, as it was read: what its user wants, and what its status says."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.metadata: Json = body["metadata"]
        self.spec: Json = body["spec"]
        self.status: Json = body.get("status") or {}

    @property
    def key(self) -> Key:
        return Key(self.metadata["namespace"], self.metadata["name"])

    @property
    def uid(self) -> str:
        return str(self.metadata["uid"])

    @property
    def request_id(self) -> str:
        return str(self.spec.get("requestId") or self.uid)

    @property
    def attempt(self) -> int:
        return int(self.spec.get("attempt", 1))

    @property
    def is_deleted(self) -> bool:
        return "deletionTimestamp" in self.metadata

    @property
    def finalizers(self) -> list[str]:
        return list(self.metadata.get("finalizers", ()))

    @property
    def created_at(self) -> datetime:
        return datetime.fromisoformat(self.metadata["creationTimestamp"])

    @property
    def source(self) -> Json:
        return self.spec["source"]  # type: ignore[no-any-return]

    @property
    def source_key(self) -> str:
        """The key on S3 that the source names, of its own for each upload; empty for other sources."""
        return str(self.source.get("s3", {}).get("key", ""))

    @property
    def webhook_url(self) -> str | None:
        webhook: Json = self.spec.get("webhook", {})
        return webhook.get("url")

    @property
    def webhook_secret(self) -> str:
        """Where the webhook's signing secret is: `namespace/name/key`, or nothing."""
        reference = self.spec.get("webhook", {}).get("secretRef")
        if not reference:
            return ""
        return f"{self.key.namespace}/{reference['name']}/{reference.get('key', SECRET_KEY)}"

    @property
    def input_sha256(self) -> str:
        """The digest of an upload's file; of other sources it is known when they are read."""
        return self._annotation(INPUT_SHA256)

    @property
    def upload(self) -> str:
        """Which upload's input is this batch's; empty for other sources."""
        return keys.upload_of_input(self.request_id, self.source_key) or ""

    @property
    def uploaded_by(self) -> str | None:
        """Whose token it was uploaded with; None for one that `kubectl apply` made."""
        return self._annotation(UPLOADED_BY) or None

    def _annotation(self, name: str) -> str:
        return str((self.metadata.get("annotations") or {}).get(name, ""))

    def asked(self, annotation: str, answered: Json) -> str:
        """What is asked by an annotation, unless it is what was `answered` last; empty for nothing."""
        value = self._annotation(annotation)[:MAX_ASKED_CHARS]
        return value if value != answered.get("requestedAt") else ""

    @property
    def restores(self) -> str:
        """The word by which `imagebatch_operator.restore` lets it take a row over; empty for others."""
        return self._annotation(RESTORES)

    @property
    def ttl_seconds(self) -> int | None:
        return self.spec.get("ttlSecondsAfterFinished")

    @property
    def phase(self) -> Phase:
        return Phase(self.status.get("phase", Phase.PENDING))

    @property
    def is_status_of_attempt(self) -> bool:
        """Whether the status speaks of this attempt."""
        return bool(self.status) and self.status.get("attempt", 1) == self.attempt

    @property
    def is_shown_finished(self) -> bool:
        """Whether the status shows this attempt's end already."""
        return self.phase.is_terminal and self.is_status_of_attempt

    @cached_property
    def conditions(self) -> dict[str, Json]:
        """The status's conditions by type."""
        return {found["type"]: found for found in self.status.get("conditions", ())}

    def condition(self, kind: str) -> Json:
        """The condition of a type; empty when there is none."""
        return self.conditions.get(kind, {})

    def new_request(self) -> NewRequest:
        """The row that the object is to have."""
        return NewRequest(
            request_id=self.request_id,
            owner=self.uid,
            object=f"{self.key.namespace}/{self.key.name}",
            attempt=self.attempt,
            spec=self._recorded_spec(),
            input_sha256=self.input_sha256,
            webhook_url=self.webhook_url,
            webhook_secret=self.webhook_secret,
            uploaded_by=self.uploaded_by,
            upload=self.upload,
        )

    def _recorded_spec(self) -> dict[str, Any]:
        """What the row keeps of the spec: without the source, which may be a whole CSV."""
        try:
            return BatchSpec.from_spec(self.spec).as_spec()
        except InputRefusedError:
            return BatchSpec().as_spec()  # it is failed at once, but it has its row like every other

    def request(self) -> Request:
        """The request as the object shows it: for one whose row is not written yet, or lost."""
        status = self.status
        removed = status.get("removed", {})
        has = {name: name in status for name in ("outputCsv", "errorsCsv", "reportCsv")}
        return Request(
            request_id=self.request_id,
            owner=self.uid,
            attempt=status.get("attempt", 1),
            status=self.phase.status,
            phase=self.phase,
            message=status.get("message", ""),
            error=status.get("error"),
            reason=status.get("reason", ""),
            waiting=self._waiting(),
            spec=self.spec,
            input_sha256=self.input_sha256,
            rows=status.get("rows", 0),
            counts=counts_of(status),
            errors_by_code=status.get("failures", {}),
            output_key=keys.output(self.request_id) if has["outputCsv"] else None,
            errors_key=keys.errors(self.request_id) if has["errorsCsv"] else None,
            report_key=keys.image_report(self.request_id) if has["reportCsv"] else None,
            qualities=qualities_of(status),
            webhook_url=self.webhook_url,
            created_at=self.created_at,
            started_at=_moment(status.get("startTime")),
            finished_at=_moment(status.get("completionTime")),
            uploaded_by=self.uploaded_by,
            upload=self.upload,
            removed=Removed(**{name: _moment(removed.get(key)) for key, name in _REMOVED.items()}),
        )

    def _waiting(self) -> Waiting | None:
        """Why nothing moves, as the Progressing condition says it."""
        if self.phase.is_terminal or not self.status.get("reason"):
            return None
        return Waiting(self.status["reason"], self.condition("Progressing").get("message", ""))


_REMOVED = {"workingFiles": "working_files", "outputs": "outputs", "images": "images"}


def removed_status(removed: Removed) -> dict[str, datetime]:
    """A status's `removed`, without what is there."""
    found = {key: getattr(removed, name) for key, name in _REMOVED.items()}
    return {key: since for key, since in found.items() if since is not None}


def _moment(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


def counts_of(status: Mapping[str, Any]) -> Counts:
    """The counts that an object's status shows."""
    images, size = status.get("images", {}), status.get("bytes", {})
    numbers = {name: images.get(name, 0) for name in ("total", "succeeded", "failed", "skipped")}
    return Counts(**numbers, bytes_in=size.get("in", 0), bytes_out=size.get("out", 0))


def quality_status(qualities: Qualities) -> dict[str, int]:
    """A status's `quality`: whole numbers, without the means where there are no images."""
    found = {
        "exact": qualities.exact,
        "approximate": qualities.approximate,
        "assumed": qualities.assumed,
        "kept": qualities.kept,
        "encoded": qualities.encoded,
        "requantised": qualities.requantised,
        "sourceMean": qualities.source_mean,
        "encodedMean": qualities.encoded_mean,
    }
    return {name: round(value) for name, value in found.items() if value is not None}


def qualities_of(status: Mapping[str, Any]) -> Qualities:
    """The qualities that an object's status shows. It has means rounded to whole numbers, so the sums here
    are only about right.
    """
    shown = status.get("quality", {})
    exact, approximate, assumed = (shown.get(name, 0) for name in ("exact", "approximate", "assumed"))
    return Qualities(
        exact=exact,
        approximate=approximate,
        assumed=assumed,
        kept=shown.get("kept", 0),
        encoded=shown.get("encoded", 0),
        requantised=shown.get("requantised", 0),
        source_sum=round((exact + approximate + assumed) * shown.get("sourceMean", 0)),
        encoded_sum=round(shown.get("encoded", 0) * shown.get("encodedMean", 0)),
    )
