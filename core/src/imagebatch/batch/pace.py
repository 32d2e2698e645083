"""Which changes of a batch's progress are worth a write: Postgres and etcd see few writes of long batches."""

from dataclasses import replace

from imagebatch.outcome import Counts
from imagebatch.records import Gain, Request

WRITE_GAP_S = 2.0
"""Counts are never written more often: on a progress bar nobody would see it."""

SLOW_WRITE_S = 10.0
"""After so long any change of the counts is written, or a big batch would seem to stand still."""

WORTH_PERCENT = 1


def is_worth_writing(old: Request, new: Request, seconds_since_write: float) -> bool:
    """Whether the change matters enough now: a phase or a reason always does, counts only now and then."""
    if _without_counts(old) != _without_counts(new):
        return True
    return old.counts != new.counts and are_counts_worth_writing(
        old.counts.done, new.counts, seconds_since_write
    )


def are_counts_worth_writing(done_before: int, counts: Counts, seconds_since_write: float) -> bool:
    """Whether counts that changed are written so soon after the last write."""
    if seconds_since_write < WRITE_GAP_S:
        return False
    moved = 100 * abs(counts.done - done_before) / counts.total if counts.total else 100.0
    return seconds_since_write >= SLOW_WRITE_S or moved >= WORTH_PERCENT


def _without_counts(request: Request) -> Request:
    return replace(
        request, counts=Counts(total=request.counts.total), errors_by_code={}, message="", gain=Gain()
    )
