"""What follows from how the runs of a shard ended."""

from dataclasses import replace

import pytest

from imagebatch.batch.exit_codes import Exit
from imagebatch.batch.shard_ends import MAX_SHARD_FAILURES
from imagebatch_cli.shard_history import ShardHistory, after_end, backoff_seconds


@pytest.mark.parametrize("code", [Exit.TEMPORARY, Exit.TERMINATED, Exit.DONE])
def test_temporary_troubles_are_not_counted(code: Exit) -> None:
    history = ShardHistory()
    for _ in range(20):
        history = after_end(history, code, "")
    assert not history.given_up
    assert backoff_seconds(history) == 300


def test_a_shard_that_crashes_again_and_again_is_given_up() -> None:
    history = ShardHistory()
    for _ in range(MAX_SHARD_FAILURES):
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


def test_after_a_gain_the_pauses_begin_anew() -> None:
    history = after_end(after_end(ShardHistory(), Exit.TEMPORARY, ""), Exit.TEMPORARY, "")
    assert backoff_seconds(history) == 2
    gained = replace(history, fruitless=0)
    assert backoff_seconds(after_end(gained, Exit.TEMPORARY, "")) == 1
