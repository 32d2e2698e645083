"""What to do next with a batch: pure decisions, no I/O, no clock.

The operator and the local engine observe, call `next_step`, and carry the step out, each in its own way.
Deciding again from the same facts gives the same step, so that any of them may crash at any point.

    Pending → Planning → Running → Merging → Complete | Failed | Cancelled
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from imagebatch.errors import Problem, RecordsError, StoreError
from imagebatch.exits import Exit
from imagebatch.outcome import Counts

MAX_REFUSALS = 3
MAX_SHARD_FAILURES = 4
"""A shard is given up after this many ends that count: the first and three more."""


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
        """The seed's word: pending, complete or failed (cancelled is failed)."""
        if not self.is_terminal:
            return "pending"
        return "complete" if self is Phase.COMPLETE else "failed"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a batch does not move: a reason in CamelCase, and a sentence."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user wants of a batch."""

    suspend: bool = False
    cancel: bool = False
    parallelism: int = 4
    max_failed_percent: int = 100
    deadline_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The facts about a batch.

    `shards` is how many the plan has, None while there is no plan. `reported` shards are done, `active`
    ones run, `waiting` ones must not be started yet, and `given_up` ones will never report.
    `active_seconds` counts since the start, without suspended time. `defect` is why the whole batch
    can't go on; `refusal` is what is wrong with its source.
    """

    phase: Phase
    shards: int | None = None
    reported: frozenset[int] = frozenset()
    active: frozenset[int] = frozenset()
    waiting: frozenset[int] = frozenset()
    given_up: frozenset[int] = frozenset()
    counts: Counts = Counts()
    images: int = 0
    active_seconds: float = 0.0
    defect: str = ""
    refusal: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Snapshot the source into the canonical CSV and its plan."""


@dataclass(frozen=True, slots=True)
class Run:
    """Start these shards, and keep those running that run."""

    start: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop all shards that run, and wait (suspended)."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Stop what still runs, write the CSVs, then commit what `conclude` says of them.

    `reason` is set when the batch ends before all its shards are done; `not_tried` are those then left out.
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


Step = Plan | Run | Stop | Merge | Finish | Done


@dataclass(frozen=True, slots=True)
class Ending:
    """How a batch ended: terminal phase, a sentence for people, and the error if it failed, with a word for
    programs (`reason`, in CamelCase).
    """

    phase: Phase
    message: str
    error: str | None = None
    reason: str = ""


def next_step(wish: Wish, observed: Observed) -> Step:
    """The one thing to do now. Reports are trusted before anything else."""
    if observed.phase.is_terminal:
        return Done()
    if observed.shards is None:
        return _before_plan(wish, observed)
    open_shards = frozenset(range(observed.shards)) - observed.reported - observed.given_up
    ending = _early_end(wish, observed)
    if ending is not None:
        return Merge(ending, open_shards)
    if not open_shards:
        return Merge()
    if wish.suspend:
        return Stop()
    return Run(_to_start(wish, observed, open_shards))


def _before_plan(wish: Wish, observed: Observed) -> Step:
    if wish.cancel:
        return Finish(_CANCELLED)
    if observed.refusal:
        text = "; ".join(problem.message for problem in observed.refusal[:3])
        return Finish(Ending(Phase.FAILED, "The source is not usable", text, "SourceNotUsable"))
    if observed.defect:
        return Finish(Ending(Phase.FAILED, "The batch could not be planned", observed.defect, "Defect"))
    return Stop() if wish.suspend else Plan()


def _early_end(wish: Wish, observed: Observed) -> Ending | None:
    if wish.cancel:
        return _CANCELLED
    if observed.defect:
        return Ending(Phase.FAILED, "Stopped by a defect", observed.defect, "Defect")
    if wish.deadline_seconds is not None and observed.active_seconds > wish.deadline_seconds:
        text = f"the deadline of {wish.deadline_seconds:g} s passed"
        return Ending(Phase.FAILED, "Stopped at its deadline", text, "DeadlineExceeded")
    if _too_many_failed(wish, observed.counts.failed, observed.images):
        return _over_limit(wish, observed.counts)
    return None


def _to_start(wish: Wish, observed: Observed, open_shards: frozenset[int]) -> tuple[int, ...]:
    room = wish.parallelism - len(observed.active)
    ready = sorted(open_shards - observed.active - observed.waiting)
    return tuple(ready[: max(room, 0)])


def _too_many_failed(wish: Wish, failed: int, images: int) -> bool:
    return wish.max_failed_percent < 100 and failed * 100 > wish.max_failed_percent * images


def _over_limit(wish: Wish, counts: Counts) -> Ending:
    text = f"{counts.failed} images failed, more than the allowed {wish.max_failed_percent}%"
    return Ending(Phase.FAILED, "Too many images failed", text, "TooManyImagesFailed")


_CANCELLED = Ending(Phase.CANCELLED, "Cancelled by its user", "cancelled", "Cancelled")


def input_lost(what: str) -> Ending:
    """The end of a batch whose canonical CSV or fragments are gone from S3."""
    return Ending(Phase.FAILED, "The batch's files are gone", what, "InputLost")


def conclude(wish: Wish, counts: Counts, errors: Mapping[str, int], reason: Ending | None) -> Ending:
    """How a merged batch ended. `errors` counts the failed images by code."""
    if reason is not None:
        return replace(reason, message=f"{reason.message}{_so_far(counts)}")
    if counts.succeeded == 0:
        text = f"no image succeeded: {_top(errors)}"
        return Ending(Phase.FAILED, "No image succeeded", text, "NoImageSucceeded")
    if _too_many_failed(wish, counts.failed, counts.total):
        return _over_limit(wish, counts)
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


@dataclass(frozen=True, slots=True)
class ShardHistory:
    """The ends of one shard's runs, as the local engine keeps them: `counted` ones and all of them.

    `refusals` counts how often in a row the system refused the same, which `refusal` says.
    """

    counted: int = 0
    ends: int = 0
    given_up: bool = False
    defect: str = ""
    refusals: int = 0
    refusal: str = ""


def after_end(history: ShardHistory, exit_code: int, reason: str) -> ShardHistory:
    """The history after one more run ended, by the rules that the Job's pod failure policy states too.

    Temporary troubles don't count; a defect ends the batch, and so does the same refusal of the system
    `MAX_REFUSALS` times in a row; a poison shard, or one that ended badly `MAX_SHARD_FAILURES` times, is
    given up.
    """
    ends = history.ends + 1
    if exit_code in {Exit.DONE, Exit.TEMPORARY, Exit.TERMINATED}:
        return ShardHistory(history.counted, ends)
    if exit_code == Exit.SYSTEM:
        refusals = history.refusals + 1 if reason == history.refusal else 1
        defect = refused(reason) if refusals >= MAX_REFUSALS else ""
        return ShardHistory(history.counted, ends, defect=defect, refusals=refusals, refusal=reason)
    if exit_code == Exit.DEFECT:
        return ShardHistory(history.counted, ends, defect=reason or "the jobrunner reported a defect")
    counted = history.counted + 1
    given_up = exit_code == Exit.POISON_SHARD or counted >= MAX_SHARD_FAILURES
    return ShardHistory(counted, ends, given_up)


def refused(reason: str) -> str:
    """The defect that a system which refuses the same again and again stands for."""
    return f"{MAX_REFUSALS} times in a row: {reason or 'the system refused what the jobrunner needs'}"


def trouble_of(exit_code: int, words: str) -> Waiting:
    """Why a batch waits whose jobrunner ended so."""
    match exit_code:
        case Exit.TEMPORARY:
            return Waiting("StoreUnavailable", f"tried again until it works: {words}")
        case Exit.SYSTEM:
            return Waiting("SystemRefused", f"tried again: {words}")
    return Waiting("ShardsFailing", f"a jobrunner ended with code {exit_code}: {words}")


def waiting_for(error: StoreError | RecordsError) -> Waiting:
    """Why a batch waits whose executor met this."""
    reason = "StoreUnavailable" if isinstance(error, StoreError) else "DatabaseUnavailable"
    return Waiting(reason, str(error))


def backoff_seconds(history: ShardHistory) -> float:
    """How long a shard waits before its next run: 1, 2, 4 … at most 60 s."""
    return float(min(60, 2 ** min(history.ends - 1, 6))) if history.ends else 0.0
