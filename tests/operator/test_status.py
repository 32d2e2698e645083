"""The status as it is written: conditions, what is worth a write, and the Events that follow from it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imagebatch.lifecycle import Phase, Waiting
from imagebatch.outcome import Counts, Qualities
from imagebatch.resource import qualities_of
from imagebatch_operator.batch import Suspension, suspension
from imagebatch_operator.notices import notices
from imagebatch_operator.status import View, is_worth_writing, status_of

from .conftest import MakeBatch

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=3)


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {found["type"]: (found["status"], found["reason"]) for found in status["conditions"]}


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View(phase=Phase.RUNNING), ("False", "False", "True", "Running")),
        (
            View(phase=Phase.RUNNING, waiting=Waiting("Unschedulable", "m")),
            ("False", "False", "False", "Unschedulable"),
        ),
        (View(phase=Phase.COMPLETE), ("True", "False", "False", "Complete")),
        (View(phase=Phase.FAILED, error="e"), ("False", "True", "False", "Failed")),
        (View(phase=Phase.CANCELLED, error="cancelled"), ("False", "True", "False", "Cancelled")),
    ],
    ids=["running", "waiting", "complete", "failed", "cancelled"],
)
def test_conditions_follow_from_the_phase(
    a_batch: MakeBatch, view: View, expected: tuple[str, str, str, str]
) -> None:
    found = conditions(status_of(a_batch(), view, NOW))
    complete, failed, progressing, reason = expected
    assert (found["Complete"][0], found["Failed"][0]) == (complete, failed)
    assert found["Progressing"] == (progressing, reason)


def test_a_conditions_time_is_that_of_its_last_change(a_batch: MakeBatch) -> None:
    first = status_of(a_batch(), View(phase=Phase.RUNNING), NOW)
    second = status_of(a_batch(status=first), View(phase=Phase.COMPLETE), LATER)
    times = {found["type"]: found["lastTransitionTime"] for found in second["conditions"]}
    assert times["Failed"] == "2026-05-01T12:00:00Z"
    assert times["Complete"] == "2026-05-01T12:03:00Z"


def test_the_status_shows_counts_in_words_and_numbers(a_batch: MakeBatch) -> None:
    view = View(phase=Phase.RUNNING, counts=Counts(1000, 800, 12, 5, 3), shards=4, shards_done=2)
    status = status_of(a_batch({"attempt": 2}), view, NOW)
    assert status["progress"] == "812/1000"
    assert status["images"] == {"total": 1000, "succeeded": 800, "failed": 12, "skipped": 0}
    assert status["shards"] == {"total": 4, "done": 2, "active": 0}
    assert (status["attempt"], status["observedGeneration"]) == (2, 3)
    assert None not in status.values()


def test_what_is_known_of_the_qualities_is_told_and_read_back(a_batch: MakeBatch) -> None:
    known = Qualities(exact=3, assumed=1, kept=2, encoded=1, source_sum=352, encoded_sum=45)
    status = status_of(a_batch(), View(phase=Phase.COMPLETE, report="r.csv", qualities=known), NOW)
    assert status["reportCsv"] == "r.csv"
    assert status["quality"] == {
        "exact": 3, "approximate": 0, "assumed": 1, "kept": 2, "encoded": 1, "sourceMean": 88, "encodedMean": 45,
    }  # fmt: skip
    assert qualities_of(status) == known
    assert "quality" not in status_of(a_batch(), View(phase=Phase.RUNNING), NOW)


@pytest.mark.parametrize(
    ("done", "seconds", "is_worth"),
    [(0, 60, False), (5, 60, True), (5, 5, False), (20, 5, True), (20, 1, False)],
    ids=["same", "slow", "little", "a per cent", "just written"],
)
def test_counts_are_written_now_and_then(
    a_batch: MakeBatch, done: int, seconds: float, is_worth: bool
) -> None:
    old = status_of(a_batch(), View(phase=Phase.RUNNING, counts=Counts(1000, 100, 0, 0, 0)), NOW)
    view = View(phase=Phase.RUNNING, counts=Counts(1000, 100 + done, 0, 0, 0))
    assert is_worth_writing(old, status_of(a_batch(status=old), view, LATER), seconds) is is_worth


def test_a_reason_is_written_at_once(a_batch: MakeBatch) -> None:
    old = status_of(a_batch(), View(phase=Phase.RUNNING), NOW)
    view = View(phase=Phase.RUNNING, waiting=Waiting("StoreUnavailable", "denied"))
    assert is_worth_writing(old, status_of(a_batch(status=old), view, NOW), 0.1)


def test_the_webhooks_part_is_no_reason_to_write(a_batch: MakeBatch) -> None:
    status = status_of(a_batch(), View(phase=Phase.COMPLETE), NOW)
    delivered = {"type": "WebhookDelivered", "status": "True", "reason": "Delivered"}
    old = {**status, "conditions": [*status["conditions"], delivered], "webhook": {"tries": 1}}
    assert not is_worth_writing(old, status_of(a_batch(status=old), View(phase=Phase.COMPLETE), LATER), 60)


def story(a_batch: MakeBatch, *views: View) -> list[str]:
    found: list[str] = []
    status: dict[str, Any] = {}
    for view in views:
        new = status_of(a_batch(status=status), view, NOW)
        found += [notice.reason for notice in notices(status, new)]
        status = new
    return found


def test_events_tell_the_story_once(a_batch: MakeBatch) -> None:
    planned: dict[str, Any] = {"shards": 3, "counts": Counts(10, 0, 0, 0, 0)}
    waits = Waiting("Suspended", "m")
    assert story(
        a_batch,
        View(phase=Phase.PLANNING),
        View(phase=Phase.RUNNING, **planned, job="j"),
        View(phase=Phase.RUNNING, **planned, job="j", waiting=waits),
        View(phase=Phase.RUNNING, **planned, job="j", waiting=waits),
        View(phase=Phase.RUNNING, **planned, job="j"),
        View(phase=Phase.MERGING, **planned, job="j"),
        View(phase=Phase.COMPLETE, **planned, job="j", message="done"),
        View(phase=Phase.COMPLETE, **planned, job="j", message="done"),
    ) == ["Planned", "JobCreated", "Suspended", "Resumed", "Merging", "Complete"]


def test_a_failure_is_a_warning(a_batch: MakeBatch) -> None:
    new = status_of(a_batch(), View(phase=Phase.FAILED, message="m", error="too bad"), NOW)
    assert [(found.reason, found.message, found.is_warning) for found in notices({}, new)] == [
        ("Failed", "too bad", True)
    ]


def test_suspended_time_is_summed_up(a_batch: MakeBatch) -> None:
    begun = suspension(a_batch({"suspend": True}), NOW)
    assert begun == Suspension(0.0, NOW)
    status = {"suspendedAt": "2026-05-01T12:00:00Z", "suspendedSeconds": 40}
    still = suspension(a_batch({"suspend": True}, status), LATER)
    assert (still.since, still.at(LATER)) == (NOW, 220.0)
    assert suspension(a_batch({}, status), LATER) == Suspension(220.0)


def test_a_new_attempt_begins_without_suspended_time(a_batch: MakeBatch) -> None:
    assert suspension(a_batch({"attempt": 2}, {"attempt": 1, "suspendedSeconds": 40}), NOW) == Suspension()


@pytest.mark.parametrize("count", [1, 3, 7, 10, 11, 997])
def test_means_survive_the_way_through_the_status(count: int) -> None:
    for total in range(count, 100 * count, 1 + count // 5):
        known = Qualities(exact=count, source_sum=total, encoded=count, encoded_sum=total)
        told = {
            "exact": count, "sourceMean": known.source_mean, "encoded": count, "encodedMean": known.encoded_mean,
        }  # fmt: skip
        again = qualities_of({"quality": told})
        assert (again.source_mean, again.encoded_mean) == (known.source_mean, known.encoded_mean)
