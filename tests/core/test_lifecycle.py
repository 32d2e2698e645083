"""Decisions about a batch."""

from typing import Any

import pytest

from imagebatch.batch.lifecycle import (
    Desired,
    Done,
    Ending,
    Finish,
    Merge,
    Observed,
    Phase,
    ReadSource,
    RunShards,
    Step,
    Suspend,
    conclude,
    next_step,
)
from imagebatch.errors import Problem
from imagebatch.outcome import Counts


def observed(phase: Phase = Phase.RUNNING, **facts: Any) -> Observed:
    return Observed(**{"phase": phase, "shards": 3, "images": 30, **facts})


def some(*shards: int) -> frozenset[int]:
    return frozenset(shards)


@pytest.mark.parametrize(
    ("desired", "facts", "expected"),
    [
        (Desired(), observed(Phase.COMPLETE), Done()),
        (Desired(cancel=True), observed(Phase.FAILED), Done()),
        (Desired(), observed(Phase.PENDING, shards=None), ReadSource()),
        (Desired(suspend=True), observed(Phase.PENDING, shards=None), Suspend()),
        (Desired(), observed(), RunShards(some(0, 1, 2))),
        (Desired(), observed(reported=some(0)), RunShards(some(1, 2))),
        (Desired(), observed(reported=some(0), given_up=some(1)), RunShards(some(2))),
        (Desired(), observed(reported=some(0, 1, 2), defect="a bug"), Merge()),
        (Desired(), observed(reported=some(0, 1, 2)), Merge()),
        (Desired(suspend=True), observed(reported=some(0, 1, 2)), Merge()),
        (Desired(), observed(reported=some(0, 2), given_up=some(1)), Merge()),
        (Desired(), observed(reported=some(0, 1, 2), given_up=some(1)), Merge()),
        (Desired(suspend=True), observed(reported=some(0)), Suspend()),
        (Desired(), observed(reported=some(0), fruitless_seconds=86_399.0), RunShards(some(1, 2))),
        (Desired(), observed(reported=some(0, 1, 2), fruitless_seconds=90_000.0), Merge()),
    ],
)
def test_next_step_follows_from_the_facts(desired: Desired, facts: Observed, expected: Step) -> None:
    assert next_step(desired, facts) == expected


def test_a_cancelled_batch_merges_what_it_has() -> None:
    step = next_step(Desired(cancel=True), observed(reported=some(0)))
    assert isinstance(step, Merge)
    assert step.reason is not None
    assert step.reason.phase is Phase.CANCELLED
    assert step.reason.phase.status == "failed"


def test_an_unusable_source_fails_the_batch_in_words() -> None:
    step = next_step(Desired(), observed(shards=None, refusal=(Problem("no_links", "the file has no link"),)))
    assert isinstance(step, Finish)
    assert step.ending.error == "the file has no link"


@pytest.mark.parametrize(
    ("desired", "facts"),
    [
        (Desired(deadline_seconds=10), {"active_seconds": 11}),
        (Desired(max_failed_percent=10), {"counts": Counts(20, 16, 4)}),
        (Desired(), {"defect": "a bug"}),
        (Desired(), {"fruitless_seconds": 86_401.0, "trouble": "S3: no answer"}),
    ],
)
def test_a_batch_ends_early_for_a_reason(desired: Desired, facts: dict[str, Any]) -> None:
    step = next_step(desired, observed(**facts))
    assert isinstance(step, Merge)
    assert step.reason is not None
    assert step.reason.phase is Phase.FAILED


@pytest.mark.parametrize(
    ("counts", "errors", "phase"),
    [
        (Counts(10, 10, 0), {}, Phase.COMPLETE),
        (Counts(10, 7, 3), {"http_status": 3}, Phase.COMPLETE),
        (Counts(10, 0, 10), {"dns_failed": 10}, Phase.FAILED),
    ],
)
def test_conclude_says_how_a_merged_batch_ended(counts: Counts, errors: dict[str, int], phase: Phase) -> None:
    ending = conclude(Desired(), counts, errors, None)
    assert ending.phase is phase
    assert (ending.error is None) == (phase is Phase.COMPLETE)
    for code in errors:
        assert code in ending.message + str(ending.error)


def test_conclude_keeps_the_reason_of_an_early_end() -> None:
    reason = Ending(Phase.CANCELLED, "Cancelled", "cancelled", "Cancelled")
    assert conclude(Desired(), Counts(10, 10, 0), {}, reason) == reason
    ending = conclude(Desired(), Counts(10, 4, 1, skipped=5), {}, reason)
    assert (ending.phase, ending.reason) == (Phase.CANCELLED, "Cancelled")
    assert ending.message == "Cancelled; 4 of 10 images done, 1 failed, 5 not tried"


def test_conclude_fails_a_batch_over_its_limit() -> None:
    assert conclude(Desired(max_failed_percent=20), Counts(10, 7, 3), {}, None).phase is Phase.FAILED


def test_an_early_end_says_which_shards_were_not_tried() -> None:
    observed = Observed(phase=Phase.RUNNING, shards=5, reported=frozenset({0}), given_up=frozenset({1}))
    step = next_step(Desired(cancel=True), observed)
    assert isinstance(step, Merge)
    assert step.not_tried == {2, 3, 4}
