"""What to do next with a batch: pure decisions, no I/O, no clock.

`BatchDriver` observes, calls `next_step`, and carries the step out. Deciding again from the same facts gives
the same step, so a crash at any point does no harm.

    Pending → Planning → Running → Merging → Complete | Failed | Cancelled
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from imagebatch.errors import Problem
from imagebatch.outcome import Counts

MAX_FRUITLESS_S = 86_400.0
"""A batch whose shards are tried again and again ends after so long without one more image done."""


class Phase(StrEnum):
    """Where a batch stands. The last three are terminal."""

    PENDING = "Pending"
    PLANNING = "Planning"
    RUNNING = "Running"
    MERGING = "Merging"
    COMPLETE = "Complete"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in {Phase.COMPLETE, Phase.FAILED, Phase.CANCELLED}

    @property
    def status(self) -> str:
        """The status that the assignment names: pending, complete or failed (cancelled is failed)."""
        if not self.is_terminal:
            return "pending"
        return "complete" if self is Phase.COMPLETE else "failed"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a batch does not move: a reason in CamelCase, and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What the user wants of a batch."""

    suspend: bool = False
    cancel: bool = False
    parallelism: int = 4
    max_failed_percent: int = 100
    deadline_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The facts about a batch.

    `shards` is how many the plan has, None while there is no plan. `reported` shards are done, and
    `given_up` ones will never report. `active_seconds` counts since the start, without suspended time, and
    `fruitless_seconds` since runs end badly without anything gained; `trouble` is how the last one did.
    `defect` is why the whole batch can't go on; `refusal` is what is wrong with its spec or its source.
    """

    phase: Phase
    shards: int | None = None
    reported: frozenset[int] = frozenset()
    given_up: frozenset[int] = frozenset()
    counts: Counts = Counts()
    images: int = 0
    active_seconds: float = 0.0
    fruitless_seconds: float = 0.0
    trouble: str = ""
    defect: str = ""
    refusal: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadSource:
    """Read the source into the canonical CSV and its plan."""


@dataclass(frozen=True, slots=True)
class RunShards:
    """Have these shards run: they are all that are neither reported nor given up."""

    shards: frozenset[int]


@dataclass(frozen=True, slots=True)
class Suspend:
    """Stop what runs, and wait."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Stop what still runs, write the CSVs, then commit what `conclude` says of them.

    `reason` is set when the batch ends before all its shards are done; `not_tried` are the shards left out.
    """

    reason: "Ending | None" = None
    not_tried: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Finish:
    """Commit this end; there are no rows to write CSVs for."""

    ending: "Ending"


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do."""


Step = ReadSource | RunShards | Suspend | Merge | Finish | Done


@dataclass(frozen=True, slots=True)
class Ending:
    """How a batch ended: terminal phase, a sentence for people, and the error if it failed, with a word for
    programs (`reason`, in CamelCase).
    """

    phase: Phase
    message: str
    error: str | None = None
    reason: str = ""


def next_step(desired: Desired, observed: Observed) -> Step:
    """The one thing to do now. A shard with a report is done, whatever else is observed of it."""
    if observed.phase.is_terminal:
        return Done()
    if observed.shards is None:
        return _before_plan(desired, observed)
    unreported = frozenset(range(observed.shards)) - observed.reported
    open_shards = unreported - observed.given_up
    ending = _early_end(desired, observed, is_open=bool(unreported))
    if ending is not None:
        return Merge(ending, open_shards)
    if not open_shards:
        return Merge()
    return Suspend() if desired.suspend else RunShards(open_shards)


def _before_plan(desired: Desired, observed: Observed) -> Step:
    if desired.cancel:
        return Finish(_CANCELLED)
    if observed.refusal:
        text = "; ".join(problem.message for problem in observed.refusal[:3])
        return Finish(Ending(Phase.FAILED, "The source is not usable", text, "SourceNotUsable"))
    if observed.defect:
        return Finish(Ending(Phase.FAILED, "The batch could not be planned", observed.defect, "Defect"))
    return Suspend() if desired.suspend else ReadSource()


def _early_end(desired: Desired, observed: Observed, *, is_open: bool) -> Ending | None:
    if desired.cancel:
        return _CANCELLED
    if observed.defect and is_open:
        return Ending(Phase.FAILED, "Stopped by a defect", observed.defect, "Defect")
    if desired.deadline_seconds is not None and observed.active_seconds > desired.deadline_seconds:
        text = f"the deadline of {desired.deadline_seconds:g} s passed"
        return Ending(Phase.FAILED, "Stopped at its deadline", text, "DeadlineExceeded")
    if observed.fruitless_seconds > MAX_FRUITLESS_S and is_open:
        text = f"nothing was gained for a day, however often it was tried: {observed.trouble}"
        return Ending(Phase.FAILED, "Stopped without progress", text, "NoProgress")
    if _too_many_failed(desired, observed.counts.failed, observed.images):
        return _over_limit(desired, observed.counts)
    return None


def _too_many_failed(desired: Desired, failed: int, images: int) -> bool:
    return desired.max_failed_percent < 100 and failed * 100 > desired.max_failed_percent * images


def _over_limit(desired: Desired, counts: Counts) -> Ending:
    text = f"{counts.failed} images failed, more than the allowed {desired.max_failed_percent}%"
    return Ending(Phase.FAILED, "Too many images failed", text, "TooManyImagesFailed")


_CANCELLED = Ending(Phase.CANCELLED, "Cancelled by its user", "cancelled", "Cancelled")


def input_lost(what: str) -> Ending:
    """The end of a batch whose canonical CSV or fragments are gone from S3."""
    return Ending(Phase.FAILED, "The batch's files are gone", what, "InputLost")


def conclude(desired: Desired, counts: Counts, errors: Mapping[str, int], reason: Ending | None) -> Ending:
    """How a merged batch ended. `errors` counts the failed images by code."""
    if reason is not None:
        return replace(reason, message=f"{reason.message}{_so_far(counts)}")
    if counts.succeeded == 0:
        text = f"no image succeeded: {_top(errors)}"
        return Ending(Phase.FAILED, "No image succeeded", text, "NoImageSucceeded")
    if _too_many_failed(desired, counts.failed, counts.total):
        return _over_limit(desired, counts)
    if counts.failed:
        text = f"{counts.succeeded} of {counts.total} images; {counts.failed} failed ({_top(errors)})"
        return Ending(Phase.COMPLETE, text)
    return Ending(Phase.COMPLETE, "Image processing completed successfully.")


def _so_far(counts: Counts) -> str:
    if not counts.skipped:
        return ""
    done = f"{counts.succeeded} of {counts.total} images done"
    return f"; {done}, {counts.failed} failed, {counts.skipped} not tried"


def _top(errors: Mapping[str, int]) -> str:
    most = sorted(errors.items(), key=lambda item: (-item[1], item[0]))[:3]
    return ", ".join(f"{code} {count}" for code, count in most)
