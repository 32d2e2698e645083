"""The object's status, made purely: what it says, and whether the change is worth a write."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from imagebatch.batch.executor import ShardCounts
from imagebatch.batch.lifecycle import Phase
from imagebatch.batch.pace import are_counts_worth_writing
from imagebatch.custom_resource import ImageBatch, counts_of, quality_status, removed_status
from imagebatch.records import Request

Json = dict[str, Any]

MAX_MESSAGE_CHARS = 1000

_PROGRESSING = {
    Phase.PENDING: ("Accepted", "The batch was accepted"),
    Phase.PLANNING: ("Planning", "The source is read and cut into shards"),
    Phase.RUNNING: ("Running", "Shards are running"),
    Phase.MERGING: ("Merging", "The output CSV is written"),
}


@dataclass(frozen=True, slots=True)
class ResultLinks:
    """Where a finished batch's CSVs are; None for those that it has not."""

    output: str | None = None
    errors: str | None = None
    report: str | None = None


NO_LINKS = ResultLinks()


def status_of(
    batch: ImageBatch,
    request: Request,
    now: datetime,
    *,
    links: ResultLinks = NO_LINKS,
    shards: ShardCounts | None = None,
    job: str = "",
) -> Json:
    """The status to write to a request's object. What has no value is left out.

    Shards and a Job's name that are not known now stay as the object's status has them for this attempt.
    """
    counts, suspension = request.counts, request.suspension
    known = batch.status if batch.is_status_of_attempt else {}
    is_finished = request.phase.is_terminal
    found: Json = {
        "requestId": batch.request_id,
        "observedGeneration": batch.metadata["generation"],
        "attempt": batch.attempt,
        "phase": request.phase.value,
        "message": request.message[:MAX_MESSAGE_CHARS],
        "error": (request.error or "")[:MAX_MESSAGE_CHARS] or None,
        "reason": _reason(request),
        "progress": f"{counts.done}/{counts.total}" if counts.total else None,
        "rows": request.rows or None,
        "images": counts.images(),
        "bytes": {"in": counts.bytes_in, "out": counts.bytes_out},
        "failures": dict(request.errors_by_code) or None,
        "shards": _shards(shards, known.get("shards"), is_finished=is_finished),
        "outputCsv": links.output,
        "errorsCsv": links.errors,
        "reportCsv": links.report,
        "quality": quality_status(request.qualities) if links.report or request.removed.outputs else None,
        "removed": {kind: timestamp(since) for kind, since in removed_status(request.removed).items()}
        or None,
        "job": job or known.get("job"),
        "startTime": timestamp(request.started_at),
        "completionTime": timestamp(request.finished_at),
        "suspendedAt": timestamp(suspension.since),
        "suspendedSeconds": round(suspension.seconds) or None,
        "conditions": _conditions(batch, request, now),
    }
    return {name: value for name, value in found.items() if value is not None}


def _shards(counts: ShardCounts | None, known: Json | None, *, is_finished: bool) -> Json | None:
    if counts is not None:
        known = asdict(counts)
    return {**known, "active": 0} if known and is_finished else known


def _reason(request: Request) -> str | None:
    """Why it waits, or why it failed; nothing where all is well."""
    return (request.waiting.reason if request.waiting is not None else request.reason) or None


def _conditions(batch: ImageBatch, request: Request, now: datetime) -> list[Json]:
    is_finished = request.phase.is_terminal
    ended = (request.reason or request.phase.value) if is_finished else "NotFinished"
    if is_finished:
        reason, message, moving = ended, request.error or request.message, False
    elif request.waiting is not None:
        reason, message, moving = request.waiting.reason, request.waiting.message, False
    else:
        (reason, message), moving = _PROGRESSING[request.phase], True
    is_complete = request.phase is Phase.COMPLETE
    is_failed = is_finished and not is_complete
    wanted = (
        Condition("Finished", is_finished, ended, (request.error or request.message) if is_finished else ""),
        Condition("Complete", is_complete, ended, request.message if is_complete else ""),
        Condition("Failed", is_failed, ended, (request.error or "") if is_failed else ""),
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


def condition(batch: ImageBatch, wanted: Condition, now: datetime) -> Json:
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
    if all(old.get(name) == new.get(name) for name in _COUNTING):
        return False
    return are_counts_worth_writing(counts_of(old).done, counts_of(new), seconds_since_write)


_COUNTING = frozenset({"images", "bytes", "progress", "shards", "message", "failures"})
_OTHERS = frozenset({"conditions", "links", "webhook"})


def _without_counts(status: Mapping[str, Any]) -> Json:
    kept = {name: value for name, value in status.items() if name not in _COUNTING | _OTHERS}
    conditions = [
        {name: found[name] for name in ("type", "status", "reason", "observedGeneration")}
        for found in status.get("conditions", ())
        if found["type"] != "WebhookDelivered"
    ]
    return {**kept, "conditions": sorted(conditions, key=lambda found: str(found["type"]))}


def timestamp(moment: datetime | None) -> str | None:
    """As Kubernetes writes times: RFC 3339, in UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment is not None else None
