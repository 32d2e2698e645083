"""The Events of a batch: derived from the change of its status, posted beside it."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from imagebatch import custom_resource
from imagebatch.batch.lifecycle import Phase
from imagebatch.custom_resource import ImageBatch
from imagebatch_operator.kube import Kube, KubeError
from imagebatch_operator.names import REPORTER
from imagebatch_operator.status import timestamp

Json = Mapping[str, Any]

MAX_NOTE_CHARS = 1000
_MOVING = frozenset({"Accepted", "Planning", "Running", "Merging"})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Event:
    """An Event to be posted: a reason in CamelCase, a sentence, and whether it is a warning."""

    reason: str
    message: str
    is_warning: bool = False


def events(old: Json, new: Json) -> Iterator[Event]:
    """What happened between two versions of a status."""
    if old.get("attempt", new["attempt"]) != new["attempt"]:
        yield Event("AttemptStarted", f"Attempt {new['attempt']} runs again what failed")
    if not old.get("shards") and new.get("shards"):
        images, shards = new["images"]["total"], new["shards"]["total"]
        yield Event("Planned", f"{new.get('rows', 0)} rows with {images} images, in {shards} shards")
    if not old.get("job") and new.get("job"):
        yield Event("JobCreated", f"Job {new['job']} runs the shards")
    yield from _of_waiting(_reason(old), new)
    yield from _of_phase(old.get("phase"), new)


def _of_waiting(before: str, new: Json) -> Iterator[Event]:
    reason = _reason(new)
    if Phase(new["phase"]).is_terminal or reason == before:
        return
    if reason not in _MOVING:
        yield Event(reason, _progressing(new)["message"], is_warning=reason != "Suspended")
    elif before and before not in _MOVING:
        yield Event("Resumed", "The batch goes on")


def _of_phase(before: str | None, new: Json) -> Iterator[Event]:
    phase = Phase(new["phase"])
    if phase.value == before:
        return
    if phase is Phase.MERGING:
        yield Event("Merging", "The shards are done; the output CSV is written")
    elif phase is Phase.COMPLETE:
        yield Event("Complete", new["message"])
    elif phase.is_terminal:
        yield Event(phase.value, new.get("error", new["message"]), is_warning=phase is Phase.FAILED)


def _progressing(status: Json) -> Json:
    found = (entry for entry in status.get("conditions", ()) if entry["type"] == "Progressing")
    return next(found, {})


def _reason(status: Json) -> str:
    return str(_progressing(status).get("reason", ""))


async def post(kube: Kube, batch: ImageBatch, wanted: Event) -> None:
    """Create the Event. A failure is logged, and stops nothing."""
    now = timestamp(datetime.now(UTC))
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{batch.key.name[:200]}.{secrets.token_hex(8)}",
            "namespace": batch.key.namespace,
        },
        "involvedObject": {
            "apiVersion": custom_resource.API_VERSION,
            "kind": custom_resource.KIND,
            "namespace": batch.key.namespace,
            "name": batch.key.name,
            "uid": batch.uid,
        },
        "type": "Warning" if wanted.is_warning else "Normal",
        "reason": wanted.reason,
        "message": wanted.message[:MAX_NOTE_CHARS],
        "source": {"component": REPORTER},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        await kube.create_event(body)
    except KubeError as error:
        log.warning("event not posted", batch=batch.key.name, reason=wanted.reason, error=str(error))
