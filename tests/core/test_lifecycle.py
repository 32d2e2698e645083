"""Decisions about a batch."""

from typing import Any

import pytest

from imagebatch import lifecycle
from imagebatch.errors import Problem
from imagebatch.exits import Exit
from imagebatch.lifecycle import (
    Done,
    Ending,
    Finish,
    Merge,
    Observed,
    Phase,
    Plan,
    Run,
    ShardHistory,
    Step,
    Stop,
    Wish,
    after_end,
    backoff_seconds,
    conclude,
    next_step,
)
from imagebatch.outcome import Counts


def observed(phase: Phase = Phase.RUNNING, **facts: Any) -> Observed:
    return Observed(**{"phase": phase, "shards": 3, "images": 30, **facts})


def some(*shards: int) -> frozenset[int]:
    return frozenset(shards)


@pytest.mark.parametrize(
    ("wish", "facts", "expected"),
    [
        (Wish(), observed(Phase.COMPLETE), Done()),
        (Wish(cancel=True), observed(Phase.FAILED), Done()),
        (Wish(), observed(Phase.PENDING, shards=None), Plan()),
        (Wish(suspend=True), observed(Phase.PENDING, shards=None), Stop()),
        (Wish(), observed(), Run((0, 1, 2))),
        (Wish(parallelism=2), observed(), Run((0, 1))),
        (Wish(parallelism=2), observed(active=some(0)), Run((1,))),
        (Wish(parallelism=2), observed(active=some(0, 1)), Run(())),
        (Wish(), observed(reported=some(0), waiting=some(1)), Run((2,))),
        (Wish(), observed(reported=some(0, 1, 2)), Merge()),
        (Wish(suspend=True), observed(reported=some(0, 1, 2)), Merge()),
        (Wish(), observed(reported=some(0, 2), given_up=some(1)), Merge()),
        (Wish(), observed(reported=some(0, 1, 2), given_up=some(1)), Merge()),
        (Wish(suspend=True), observed(reported=some(0)), Stop()),
    ],
)
def test_next_step_follows_from_the_facts(wish: Wish, facts: Observed, expected: Step) -> None:
    assert next_step(wish, facts) == expected


def test_a_cancelled_batch_merges_what_it_has() -> None:
    step = next_step(Wish(cancel=True), observed(reported=some(0)))
    assert isinstance(step, Merge)
    assert step.reason is not None
    assert step.reason.phase is Phase.CANCELLED
    assert step.reason.phase.status == "failed"


def test_an_unusable_source_fails_the_batch_in_words() -> None:
    step = next_step(Wish(), observed(shards=None, refusal=(Problem("no_links", "the file has no link"),)))
    assert isinstance(step, Finish)
    assert step.ending.error == "the file has no link"


@pytest.mark.parametrize(
    ("wish", "facts"),
    [
        (Wish(deadline_seconds=10), {"active_seconds": 11}),
        (Wish(max_failed_percent=10), {"counts": Counts(20, 16, 4)}),
        (Wish(), {"defect": "a bug"}),
    ],
)
def test_a_batch_ends_early_for_a_reason(wish: Wish, facts: dict[str, Any]) -> None:
    step = next_step(wish, observed(**facts))
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
    ending = conclude(Wish(), counts, errors, None)
    assert ending.phase is phase
    assert (ending.error is None) == (phase is Phase.COMPLETE)
    for code in errors:
        assert code in ending.message + str(ending.error)


def test_conclude_keeps_the_reason_of_an_early_end() -> None:
    reason = Ending(Phase.CANCELLED, "Cancelled", "cancelled", "Cancelled")
    assert conclude(Wish(), Counts(10, 10, 0), {}, reason) == reason
    ending = conclude(Wish(), Counts(10, 4, 1, skipped=5), {}, reason)
    assert (ending.phase, ending.reason) == (Phase.CANCELLED, "Cancelled")
    assert ending.message == "Cancelled; 4 of 10 images done, 1 failed, 5 not tried"


def test_conclude_fails_a_batch_over_its_limit() -> None:
    assert conclude(Wish(max_failed_percent=20), Counts(10, 7, 3), {}, None).phase is Phase.FAILED


@pytest.mark.parametrize("code", [Exit.TEMPORARY, Exit.TERMINATED, Exit.DONE])
def test_temporary_troubles_are_not_counted(code: Exit) -> None:
    history = ShardHistory()
    for _ in range(20):
        history = after_end(history, code, "")
    assert not history.given_up
    assert backoff_seconds(history) == 60


def test_a_shard_that_crashes_again_and_again_is_given_up() -> None:
    history = ShardHistory()
    for _ in range(lifecycle.MAX_SHARD_FAILURES):
        assert not history.given_up
        history = after_end(history, -9, "")
    assert history.given_up


def test_a_poison_shard_is_given_up_at_once_and_a_defect_ends_the_batch() -> None:
    assert after_end(ShardHistory(), Exit.POISON_SHARD, "").given_up
    assert after_end(ShardHistory(), Exit.DEFECT, "no bucket").defect == "no bucket"


def test_the_same_refusal_of_the_system_three_times_in_a_row_is_a_defect() -> None:
    history = ShardHistory()
    for reason in ["no memory", "no memory", "no process", "no memory", "no memory"]:
        history = after_end(history, Exit.SYSTEM, reason)
        assert (history.defect, history.given_up) == ("", False)
    assert "no memory" in after_end(history, Exit.SYSTEM, "no memory").defect
    assert after_end(after_end(history, Exit.TERMINATED, ""), Exit.SYSTEM, "no memory").defect == ""


def test_an_early_end_says_which_shards_were_not_tried() -> None:
    observed = Observed(
        phase=Phase.RUNNING, shards=5, reported=frozenset({0}), given_up=frozenset({1}), active=frozenset({2})
    )
    step = lifecycle.next_step(Wish(cancel=True), observed)
    assert isinstance(step, lifecycle.Merge)
    assert step.not_tried == {2, 3, 4}
