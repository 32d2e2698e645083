"""The status as it is written: conditions, what is worth a write, and the Events that follow from it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imagebatch.batch.executor import ShardCounts
from imagebatch.batch.lifecycle import Phase, Waiting
from imagebatch.custom_resource import qualities_of
from imagebatch.outcome import Counts, Qualities
from imagebatch.records import Request, Suspension
from imagebatch_operator.events import events
from imagebatch_operator.status import ResultLinks, is_worth_writing, status_of

from .conftest import MakeBatch, a_request

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=3)


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {found["type"]: (found["status"], found["reason"]) for found in status["conditions"]}


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (a_request(Phase.RUNNING), ("False", "False", "True", "Running")),
        (
            a_request(Phase.RUNNING, waiting=Waiting("Unschedulable", "m")),
            ("False", "False", "False", "Unschedulable"),
        ),
        (a_request(Phase.COMPLETE), ("True", "False", "False", "Complete")),
        (a_request(Phase.FAILED, error="e"), ("False", "True", "False", "Failed")),
        (a_request(Phase.CANCELLED, error="cancelled"), ("False", "True", "False", "Cancelled")),
    ],
    ids=["running", "waiting", "complete", "failed", "cancelled"],
)
def test_conditions_follow_from_the_phase(
    a_batch: MakeBatch, view: Request, expected: tuple[str, str, str, str]
) -> None:
    found = conditions(status_of(a_batch(), view, NOW))
    complete, failed, progressing, reason = expected
    assert (found["Complete"][0], found["Failed"][0]) == (complete, failed)
    assert found["Progressing"] == (progressing, reason)


def test_a_conditions_time_is_that_of_its_last_change(a_batch: MakeBatch) -> None:
    first = status_of(a_batch(), a_request(Phase.RUNNING), NOW)
    second = status_of(a_batch(status=first), a_request(Phase.COMPLETE), LATER)
    times = {found["type"]: found["lastTransitionTime"] for found in second["conditions"]}
    assert times["Failed"] == "2026-05-01T12:00:00Z"
    assert times["Complete"] == "2026-05-01T12:03:00Z"


def test_the_status_shows_counts_in_words_and_numbers(a_batch: MakeBatch) -> None:
    view = a_request(Phase.RUNNING, counts=Counts(1000, 800, 12, 5, 3))
    status = status_of(a_batch({"attempt": 2}), view, NOW, shards=ShardCounts(4, 2, 0))
    assert status["progress"] == "812/1000"
    assert status["images"] == {"total": 1000, "succeeded": 800, "failed": 12, "skipped": 0}
    assert status["shards"] == {"total": 4, "done": 2, "active": 0, "failed": 0}
    assert (status["attempt"], status["observedGeneration"]) == (2, 3)
    assert None not in status.values()


def test_what_is_known_of_the_qualities_is_told_and_read_back(a_batch: MakeBatch) -> None:
    known = Qualities(exact=3, assumed=1, kept=2, encoded=1, source_sum=352, encoded_sum=45, requantised=1)
    links = ResultLinks(report="r.csv")
    status = status_of(a_batch(), a_request(Phase.COMPLETE, qualities=known), NOW, links=links)
    assert status["reportCsv"] == "r.csv"
    assert status["quality"] == {
        "exact": 3, "approximate": 0, "assumed": 1, "kept": 2, "encoded": 1, "requantised": 1, "sourceMean": 88, "encodedMean": 45,
    }  # fmt: skip
    assert qualities_of(status) == known
    assert "quality" not in status_of(a_batch(), a_request(Phase.RUNNING), NOW)


@pytest.mark.parametrize(
    ("done", "seconds", "is_worth"),
    [(0, 60, False), (5, 60, True), (5, 5, False), (20, 5, True), (20, 1, False)],
    ids=["same", "slow", "little", "a per cent", "just written"],
)
def test_counts_are_written_now_and_then(
    a_batch: MakeBatch, done: int, seconds: float, is_worth: bool
) -> None:
    old = status_of(a_batch(), a_request(Phase.RUNNING, counts=Counts(1000, 100, 0, 0, 0)), NOW)
    view = a_request(Phase.RUNNING, counts=Counts(1000, 100 + done, 0, 0, 0))
    assert is_worth_writing(old, status_of(a_batch(status=old), view, LATER), seconds) is is_worth


def test_a_reason_is_written_at_once(a_batch: MakeBatch) -> None:
    old = status_of(a_batch(), a_request(Phase.RUNNING), NOW)
    view = a_request(Phase.RUNNING, waiting=Waiting("StoreUnavailable", "denied"))
    assert is_worth_writing(old, status_of(a_batch(status=old), view, NOW), 0.1)


def test_the_webhooks_part_is_no_reason_to_write(a_batch: MakeBatch) -> None:
    status = status_of(a_batch(), a_request(Phase.COMPLETE), NOW)
    delivered = {"type": "WebhookDelivered", "status": "True", "reason": "Delivered"}
    old = {**status, "conditions": [*status["conditions"], delivered], "webhook": {"tries": 1}}
    assert not is_worth_writing(old, status_of(a_batch(status=old), a_request(Phase.COMPLETE), LATER), 60)


def story(a_batch: MakeBatch, *steps: tuple[Request, ShardCounts | None, str]) -> list[str]:
    found: list[str] = []
    status: dict[str, Any] = {}
    for view, shards, job in steps:
        new = status_of(a_batch(status=status), view, NOW, shards=shards, job=job)
        found += [event.reason for event in events(status, new)]
        status = new
    return found


def test_events_tell_the_story_once(a_batch: MakeBatch) -> None:
    planned: dict[str, Any] = {"counts": Counts(10, 0, 0, 0, 0)}
    shards, waits = ShardCounts(3, 0, 0), Waiting("Suspended", "m")
    assert story(
        a_batch,
        (a_request(Phase.PLANNING), None, ""),
        (a_request(Phase.RUNNING, **planned), shards, "j"),
        (a_request(Phase.RUNNING, **planned, waiting=waits), shards, "j"),
        (a_request(Phase.RUNNING, **planned, waiting=waits), shards, "j"),
        (a_request(Phase.RUNNING, **planned), None, ""),  # after a restart, while S3 is away
        (a_request(Phase.RUNNING, **planned), shards, "j"),
        (a_request(Phase.MERGING, **planned), shards, "j"),
        (a_request(Phase.COMPLETE, **planned, message="done"), None, ""),
        (a_request(Phase.COMPLETE, **planned, message="done"), None, ""),
    ) == ["Planned", "JobCreated", "Suspended", "Resumed", "Merging", "Complete"]


def test_shards_stay_known_over_the_end(a_batch: MakeBatch) -> None:
    running = status_of(a_batch(), a_request(), NOW, shards=ShardCounts(3, 2, 1), job="j")
    ended = status_of(a_batch(status=running), a_request(Phase.COMPLETE), NOW)
    assert (ended["shards"], ended["job"]) == ({"total": 3, "done": 2, "active": 0, "failed": 0}, "j")
    assert "job" not in status_of(a_batch({"attempt": 2}, running), a_request(), NOW)


def test_a_failure_is_a_warning(a_batch: MakeBatch) -> None:
    new = status_of(a_batch(), a_request(Phase.FAILED, message="m", error="too bad"), NOW)
    assert [(found.reason, found.message, found.is_warning) for found in events({}, new)] == [
        ("Failed", "too bad", True)
    ]


def test_suspended_time_is_shown(a_batch: MakeBatch) -> None:
    status = status_of(a_batch(), a_request(suspension=Suspension(39.6, NOW)), LATER)
    assert (status["suspendedAt"], status["suspendedSeconds"]) == ("2026-05-01T12:00:00Z", 40)


@pytest.mark.parametrize("count", [1, 3, 7, 10, 11, 997])
def test_means_survive_the_way_through_the_status(count: int) -> None:
    for total in range(count, 100 * count, 1 + count // 5):
        known = Qualities(exact=count, source_sum=total, encoded=count, encoded_sum=total)
        told = {
            "exact": count, "sourceMean": known.source_mean, "encoded": count, "encodedMean": known.encoded_mean,
        }  # fmt: skip
        again = qualities_of({"quality": told})
        assert (again.source_mean, again.encoded_mean) == (known.source_mean, known.encoded_mean)
