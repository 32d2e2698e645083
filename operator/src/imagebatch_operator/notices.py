"""The Events that tell a batch's story: read off the change of its status, posted beside it."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog

from imagebatch import resource
from imagebatch.lifecycle import Phase
from imagebatch_operator.batch import Batch
from imagebatch_operator.kube import Kube, KubeError
from imagebatch_operator.names import REPORTER
from imagebatch_operator.status import timestamp

Json = Mapping[str, Any]

MAX_NOTE_CHARS = 1000
_MOVING = frozenset({"Accepted", "Planning", "Running", "Merging"})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Notice:
    """One Event: a reason in CamelCase, a sentence, and whether it is a warning."""

    reason: str
    message: str
    is_warning: bool = False


def notices(old: Json, new: Json) -> Iterator[Notice]:
    """What happened between two versions of a status."""
    if old.get("attempt", new["attempt"]) != new["attempt"]:
        yield Notice("AttemptStarted", f"Attempt {new['attempt']} runs again what failed")
    if not old.get("shards") and new.get("shards"):
        images, shards = new["images"]["total"], new["shards"]["total"]
        yield Notice("Planned", f"{new.get('rows', 0)} rows with {images} images, in {shards} shards")
    if not old.get("job") and new.get("job"):
        yield Notice("JobCreated", f"Job {new['job']} runs the shards")
    yield from _waits(_reason(old), new)
    yield from _phases(old.get("phase"), new)


def _waits(before: str, new: Json) -> Iterator[Notice]:
    reason = _reason(new)
    if Phase(new["phase"]).is_terminal or reason == before:
        return
    if reason not in _MOVING:
        yield Notice(reason, _progressing(new)["message"], is_warning=reason != "Suspended")
    elif before and before not in _MOVING:
        yield Notice("Resumed", "The batch goes on")


def _phases(before: str | None, new: Json) -> Iterator[Notice]:
    phase = Phase(new["phase"])
    if phase.value == before:
        return
    if phase is Phase.MERGING:
        yield Notice("Merging", "The shards are done; the output CSV is written")
    elif phase is Phase.COMPLETE:
        yield Notice("Complete", new["message"])
    elif phase.is_terminal:
        yield Notice(phase.value, new.get("error", new["message"]), is_warning=phase is Phase.FAILED)


def _progressing(status: Json) -> Json:
    found = (entry for entry in status.get("conditions", ()) if entry["type"] == "Progressing")
    return next(found, {})


def _reason(status: Json) -> str:
    return str(_progressing(status).get("reason", ""))


async def post(kube: Kube, batch: Batch, notice: Notice) -> None:
    """Create the Event. That it can't be created is logged, and stops nothing."""
    now = timestamp(datetime.now(UTC))
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{batch.key.name[:200]}.{secrets.token_hex(8)}",
            "namespace": batch.key.namespace,
        },
        "involvedObject": {
            "apiVersion": resource.API_VERSION,
            "kind": resource.KIND,
            "namespace": batch.key.namespace,
            "name": batch.key.name,
            "uid": batch.uid,
        },
        "type": "Warning" if notice.is_warning else "Normal",
        "reason": notice.reason,
        "message": notice.message[:MAX_NOTE_CHARS],
        "source": {"component": REPORTER},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        await kube.create_event(event)
    except KubeError as error:
        log.warning("event not posted", batch=batch.key.name, reason=notice.reason, error=str(error))
