"""One look at a batch: everything that a step may need, gathered by `observe` and passed on."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from imagebatch.errors import InputRefusedError, Problem
from imagebatch.ingest import Ingested
from imagebatch.lifecycle import Merge, Observed, Phase, Waiting
from imagebatch.merge import Merged
from imagebatch.records import Request
from imagebatch_operator.batch import Batch, suspension
from imagebatch_operator.errands import Errand
from imagebatch_operator.job import JobFacts, job_name
from imagebatch_operator.pods import PodFacts
from imagebatch_operator.reports import Reports
from imagebatch_operator.status import View


@dataclass(frozen=True, slots=True)
class Merging:
    """A merge under way, and the step that it carries out."""

    errand: Errand[Merged]
    step: Merge


@dataclass(slots=True)
class Memory:
    """What is kept of an attempt between reconciles; all of it can be found again, or done again."""

    uid: str
    attempt: int
    reports: Reports
    planning: Errand[Ingested] | None = None
    merging: Merging | None = None
    refusal: tuple[Problem, ...] = ()
    stopping_since: datetime | None = None

    def stop_errands(self) -> bool:
        """Stop what is done beside the reconciles; whether it has stopped."""
        errands = [errand for errand in (self.planning, self.merging and self.merging.errand) if errand]
        for errand in errands:
            errand.cancel()
        return all(errand.is_over for errand in errands)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A batch as it is now."""

    batch: Batch
    request: Request
    memory: Memory
    observed: Observed
    job: JobFacts | None = None
    pods: list[PodFacts] = field(default_factory=list)
    running: list[int] = field(default_factory=list)

    @property
    def reports(self) -> Reports:
        return self.memory.reports


def refusal(batch: Batch, memory: Memory) -> tuple[Problem, ...]:
    """What is wrong with the object, or was found wrong with its source."""
    try:
        _ = batch.wanted
    except InputRefusedError as error:
        return error.problems
    return memory.refusal


def active_seconds(batch: Batch, request: Request, now: datetime) -> float:
    """How long the batch has been at work, without the time that it was suspended."""
    if request.started_at is None:
        return 0.0
    return (now - request.started_at).total_seconds() - suspension(batch, now).at(now)


def view_of(turn: Turn, phase: Phase, *, waiting: Waiting | None = None) -> View:
    """How an unfinished batch is shown."""
    now, batch, request = datetime.now(UTC), turn.batch, turn.request
    plan = turn.reports.plan
    counts = replace(turn.reports.counts(turn.running), total=plan.images if plan is not None else 0)
    return View(
        phase=phase,
        message=f"{counts.done} of {counts.total} images" if counts.total else "",
        rows=plan.rows if plan is not None else 0,
        counts=counts,
        shards=len(plan.shards) if plan is not None else None,
        shards_done=len(turn.reports.done),
        shards_active=turn.job.active if turn.job is not None else 0,
        job=job_name(batch) if turn.job is not None else "",
        started=request.started_at,
        suspension=suspension(batch, now),
        waiting=waiting,
    )


@dataclass(frozen=True, slots=True)
class Links:
    """Where a finished batch's CSVs are; None for those that it has not."""

    output: str | None = None
    errors: str | None = None
    report: str | None = None


def ended_view(turn_batch: Batch, request: Request, links: Links) -> View:
    """How a finished batch is shown: as its row says."""
    status = turn_batch.status
    shards = status.get("shards", {})
    return View(
        phase=request.phase,
        message=request.message,
        error=request.error,
        reason=request.reason,
        rows=request.rows,
        counts=request.counts,
        failures=request.errors_by_code,
        shards=shards.get("total"),
        shards_done=shards.get("done", 0),
        output=links.output,
        errors=links.errors,
        report=links.report,
        qualities=request.qualities,
        job=status.get("job", ""),
        started=request.started_at,
        finished=request.finished_at,
        suspension=suspension(turn_batch, request.finished_at or datetime.now(UTC)),
    )
