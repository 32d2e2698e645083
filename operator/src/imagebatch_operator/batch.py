"""An ImageBatch object, parsed once: what its user wishes, and what its status said last."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from imagebatch import keys
from imagebatch.batches import BatchSpec
from imagebatch.lifecycle import Phase
from imagebatch.resource import INPUT_SHA256, uploaded_by
from imagebatch_operator.names import FINALIZER
from imagebatch_operator.work_queue import Key

Json = Mapping[str, Any]

SECRET_KEY = "secret"  # noqa: S105 - the default name of the entry in the user's Secret


class Batch:
    """A view on the object `body`, in the version that it was read."""

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
    def has_finalizer(self) -> bool:
        return FINALIZER in self.metadata.get("finalizers", ())

    @cached_property
    def wanted(self) -> BatchSpec:
        """Raises InputRefusedError for a spec that the schema let pass and the domain does not."""
        return BatchSpec.from_spec(self.spec)

    @property
    def source(self) -> Json:
        return self.spec["source"]  # type: ignore[no-any-return]

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
        """The digest of an upload's file; of other sources it is known when they are planned."""
        return str(self.metadata.get("annotations", {}).get(INPUT_SHA256, ""))

    @property
    def upload(self) -> str:
        """Which upload's input is this batch's; empty for other sources."""
        key = self.source.get("s3", {}).get("key", "")
        return keys.upload_of_input(self.request_id, key) or ""

    @property
    def uploaded_by(self) -> str | None:
        """Whose token it was uploaded with."""
        return uploaded_by(self.metadata)

    @property
    def ttl_seconds(self) -> int | None:
        return self.spec.get("ttlSecondsAfterFinished")

    @property
    def phase(self) -> Phase:
        return Phase(self.status.get("phase", Phase.PENDING))

    @property
    def is_told(self) -> bool:
        """Whether the status speaks of this attempt."""
        return bool(self.status) and self.status.get("attempt", 1) == self.attempt

    @property
    def is_told_finished(self) -> bool:
        """Whether the status tells this attempt's end already."""
        return self.phase.is_terminal and self.is_told

    def condition(self, kind: str) -> Json:
        """The condition of a type as the status has it; empty when it has none."""
        conditions = self.status.get("conditions", ())
        return next((found for found in conditions if found["type"] == kind), {})

    def moment(self, field: str) -> datetime | None:
        """A timestamp of the status."""
        value = self.status.get(field)
        return datetime.fromisoformat(value) if value else None


@dataclass(frozen=True, slots=True)
class Suspension:
    """How long a batch has been suspended until now, in seconds, and since when it is, if it is."""

    seconds: float = 0.0
    since: datetime | None = None

    def at(self, now: datetime) -> float:
        """All the suspended time up to `now`."""
        return self.seconds + ((now - self.since).total_seconds() if self.since is not None else 0.0)


def suspension(batch: Batch, now: datetime) -> Suspension:
    """The suspension as it has to be written now: its beginning or its end are noticed here."""
    if batch.status.get("attempt", 1) != batch.attempt:
        told = Suspension()
    else:
        told = Suspension(batch.status.get("suspendedSeconds", 0), batch.moment("suspendedAt"))
    if batch.spec.get("suspend", False):
        return Suspension(told.seconds, told.since or now)
    return Suspension(told.at(now))
