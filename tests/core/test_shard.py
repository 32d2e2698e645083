"""What attempts at a shard leave for later ones, and lists of shards as text."""

import pytest

from imagebatch.batch import checkpoint, shard
from imagebatch.batch.shard import Report, ShardId
from imagebatch.outcome import Counts, ErrorCode, ImageOutcome
from imagebatch.storage import keys
from imagebatch_testing.memory_store import MemoryStore

GOOD = ImageOutcome(row=1, slot=1, name="0000001-001.jpg", bytes_in=9, bytes_out=4)
BAD = ImageOutcome(row=2, slot=1, error=ErrorCode.HTTP_STATUS)


def reported(store: MemoryStore, attempt: int, *outcomes: ImageOutcome, index: int = 0) -> Report:
    which = ShardId("r1", attempt, index)
    counts = Counts()
    for outcome in outcomes:
        counts = counts.with_outcome(outcome)
    fragment = shard.write_fragment(store, which, f"run-{attempt}", outcomes)
    report = Report(f"run-{attempt}", fragment, len(outcomes), counts)
    assert shard.commit(store, which, report)
    return report


def test_a_later_attempt_knows_what_earlier_ones_stored(store: MemoryStore) -> None:
    reported(store, 1, GOOD, BAD)
    assert checkpoint.of_earlier_attempts(store, ShardId("r1", 3, 0)) == {(1, 1): GOOD}
    assert checkpoint.of_earlier_attempts(store, ShardId("r1", 1, 0)) == {}
    assert checkpoint.of_earlier_attempts(store, ShardId("r1", 2, 1)) == {}


def test_a_shard_without_failures_is_taken_over_as_it_is(store: MemoryStore) -> None:
    clean = reported(store, 1, GOOD)
    reported(store, 1, GOOD, BAD, index=1)
    assert shard.carry_forward(store, ShardId("r1", 2, 0))
    assert not shard.carry_forward(store, ShardId("r1", 2, 1))
    assert not shard.carry_forward(store, ShardId("r1", 2, 2))
    assert shard.read_report(store, ShardId("r1", 2, 0)) == clean
    assert store.head(keys.report("r1", 2, 1)) is None


def test_a_shard_whose_fragment_is_gone_is_done_again(store: MemoryStore) -> None:
    gone = reported(store, 1, GOOD)
    store.delete([gone.fragment])
    assert not shard.carry_forward(store, ShardId("r1", 2, 0))
    assert shard.successes(store, gone) == {}


@pytest.mark.parametrize(
    ("indexes", "text"),
    [((), ""), ((4,), "4"), ((0, 1, 2, 7), "0-2,7"), ((9, 3, 4), "3-4,9")],
    ids=["none", "one", "ranges", "unordered"],
)
def test_indexes_are_written_as_ranges(indexes: tuple[int, ...], text: str) -> None:
    assert shard.indexes_text(indexes) == text
    assert shard.indexes_of(text) == tuple(sorted(indexes))
