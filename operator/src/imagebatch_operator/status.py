"""The object's status, made purely: what it says, and whether the change is worth a write."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from imagebatch.lifecycle import Phase, Waiting
from imagebatch.outcome import Counts, Qualities
from imagebatch.resource import quality_status
from imagebatch_operator.batch import Batch, Suspension

Json = dict[str, Any]

MAX_MESSAGE_CHARS = 1000
WRITE_GAP_S = 2.0
SLOW_WRITE_S = 10.0
WORTH_PERCENT = 1

_PROGRESSING = {
    Phase.PENDING: ("Accepted", "The batch was accepted"),
    Phase.PLANNING: ("Planning", "The source is read and cut into shards"),
    Phase.RUNNING: ("Running", "Shards are running"),
    Phase.MERGING: ("Merging", "The output CSV is written"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How a batch stands, as its user is to see it. `output`, `errors` and `report` are links."""

    phase: Phase
    message: str = ""
    error: str | None = None
    reason: str = ""
    rows: int = 0
    counts: Counts = Counts()
    failures: Mapping[str, int] = field(default_factory=dict)
    shards: int | None = None
    shards_done: int = 0
    shards_active: int = 0
    output: str | None = None
    errors: str | None = None
    report: str | None = None
    qualities: Qualities = Qualities()
    job: str = ""
    started: datetime | None = None
    finished: datetime | None = None
    suspension: Suspension = Suspension()
    waiting: Waiting | None = None


def status_of(batch: Batch, view: View, now: datetime) -> Json:
    """The status to write. What has no value is left out."""
    counts = view.counts
    found: Json = {
        "requestId": batch.request_id,
        "observedGeneration": batch.metadata["generation"],
        "attempt": batch.attempt,
        "phase": view.phase.value,
        "message": view.message[:MAX_MESSAGE_CHARS],
        "error": (view.error or "")[:MAX_MESSAGE_CHARS] or None,
        "reason": _reason(view),
        "progress": f"{counts.done}/{counts.total}" if counts.total else None,
        "rows": view.rows or None,
        "images": counts.images(),
        "bytes": {"in": counts.bytes_in, "out": counts.bytes_out},
        "failures": dict(view.failures) or None,
        "shards": _shards(view),
        "outputCsv": view.output,
        "errorsCsv": view.errors,
        "reportCsv": view.report,
        "quality": quality_status(view.qualities) if view.report else None,
        "job": view.job or None,
        "startTime": timestamp(view.started),
        "completionTime": timestamp(view.finished),
        "suspendedAt": timestamp(view.suspension.since),
        "suspendedSeconds": round(view.suspension.seconds) or None,
        "conditions": _conditions(batch, view, now),
    }
    return {name: value for name, value in found.items() if value is not None}


def _shards(view: View) -> Json | None:
    if view.shards is None:
        return None
    return {"total": view.shards, "done": view.shards_done, "active": view.shards_active}


def _reason(view: View) -> str | None:
    """Why it waits, or why it failed; nothing where all is well."""
    return (view.waiting.reason if view.waiting is not None else view.reason) or None


def _conditions(batch: Batch, view: View, now: datetime) -> list[Json]:
    is_finished = view.phase.is_terminal
    ended = (view.reason or view.phase.value) if is_finished else "NotFinished"
    if is_finished:
        reason, message, moving = ended, view.error or view.message, False
    elif view.waiting is not None:
        reason, message, moving = view.waiting.reason, view.waiting.message, False
    else:
        (reason, message), moving = _PROGRESSING[view.phase], True
    is_complete = view.phase is Phase.COMPLETE
    is_failed = is_finished and not is_complete
    wanted = (
        Condition("Finished", is_finished, ended, (view.error or view.message) if is_finished else ""),
        Condition("Complete", is_complete, ended, view.message if is_complete else ""),
        Condition("Failed", is_failed, ended, (view.error or "") if is_failed else ""),
        Condition("Progressing", moving, reason, message),
    )
    return [condition(batch, each, now) for each in wanted]


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition to be written; `holds` is None for Unknown."""

    kind: str
    holds: bool | None
    reason: str
    message: str = ""


def condition(batch: Batch, wanted: Condition, now: datetime) -> Json:
    """A condition as it is written; the time of its last transition stays while its status does."""
    status = "Unknown" if wanted.holds is None else str(wanted.holds)
    old = batch.condition(wanted.kind)
    since = old["lastTransitionTime"] if old.get("status") == status else timestamp(now)
    return {
        "type": wanted.kind,
        "status": status,
        "reason": wanted.reason,
        "message": wanted.message[:MAX_MESSAGE_CHARS],
        "observedGeneration": batch.metadata["generation"],
        "lastTransitionTime": since,
    }


def is_worth_writing(old: Mapping[str, Any], new: Json, seconds_since_write: float) -> bool:
    """Whether the change matters enough now: a phase or a reason always does, counts only now and then."""
    if _without_counts(old) != _without_counts(new):
        return True
    is_same = all(old.get(name) == new.get(name) for name in _COUNTING)
    if is_same or seconds_since_write < WRITE_GAP_S:
        return False
    return seconds_since_write >= SLOW_WRITE_S or _moved_percent(old, new) >= WORTH_PERCENT


_COUNTING = frozenset({"images", "bytes", "progress", "shards", "message"})
_OTHERS = frozenset({"conditions", "webhook"})


def _without_counts(status: Mapping[str, Any]) -> Json:
    kept = {name: value for name, value in status.items() if name not in _COUNTING | _OTHERS}
    conditions = [
        {name: found[name] for name in ("type", "status", "reason", "observedGeneration")}
        for found in status.get("conditions", ())
        if found["type"] != "WebhookDelivered"
    ]
    return {**kept, "conditions": sorted(conditions, key=lambda found: str(found["type"]))}


def _moved_percent(old: Mapping[str, Any], new: Mapping[str, Any]) -> float:
    total = new["images"]["total"]
    return 100 * abs(_done(new) - _done(old)) / total if total else 100.0


def _done(status: Mapping[str, Any]) -> int:
    images = status.get("images", {})
    return int(images.get("succeeded", 0) + images.get("failed", 0))


def timestamp(moment: datetime | None) -> str | None:
    """As Kubernetes writes times: RFC 3339, in UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment is not None else None
