"""How a batch is followed: pure, with the time passed in."""

import json
from typing import Any

import pytest

from imagebatch_client import (
    ApiError,
    Batch,
    ImageBatchError,
    NoAnswerError,
    NotFoundError,
    Problem,
    UnauthorizedError,
    UnexpectedAnswerError,
    WaitTimeoutError,
)
from imagebatch_client.documents import Issue
from imagebatch_client.following import MAX_BARREN_STREAMS, PATIENCE_S, POLL_S, SILENCE_S, Following

LOST = NoAnswerError("lost", was_sent=True)


def document(done: int = 0, **fields: Any) -> dict[str, Any]:
    images = {"total": 3, "succeeded": done, "failed": 0, "skipped": 0}
    return {"request_id": "r1", "status": "pending", "phase": "Running", "images": images, **fields}


def event(done: int = 0, number: int = 1, **fields: Any) -> bytes:
    return f"event: status\nid: {number}\ndata: {json.dumps(document(done, **fields))}\n\n".encode()


def problem(status: int, code: str) -> Problem:
    return Problem(status, "No", "no", (Issue(code, "no"),))


def test_each_change_is_news_once() -> None:
    following = Following("r1", 0.0)
    assert following.wants_stream(0.0)
    assert following.stream().headers["Accept"] == "text/event-stream"
    news = following.received(event(1) + event(1, 2) + b": still here\n\n" + event(2, 3), 1.0)
    assert [batch.images.succeeded for batch in news] == [1, 2]
    assert not following.is_over
    assert following.received(event(3, 4, status="complete", phase="Complete"), 2.0)[0].is_complete
    assert following.is_over


def test_a_stream_that_breaks_is_opened_again_behind_what_was_seen() -> None:
    following = Following("r1", 0.0)
    following.stream()
    following.received(event(1, 41), 0.0)
    following.failed(LOST, 1.0)
    assert not following.wants_stream(1.0)
    assert following.pause_s(1.0) == POLL_S
    assert following.poll().path == "/status/r1"
    assert following.polled(Batch.read(document(1)), 2.0) == []
    assert following.wants_stream(2.0)
    assert following.stream().headers["Last-Event-ID"] == "41"


def test_a_stream_that_ends_early_is_no_failure() -> None:
    following = Following("r1", 0.0)
    following.stream()
    following.received(event(1), 0.0)
    following.stream_ended()
    assert (following.wants_stream(0.0), following.pause_s(0.0)) == (False, 0.0)


def test_where_streams_bring_nothing_only_polling_is_left() -> None:
    following = Following("r1", 0.0)
    for _ in range(MAX_BARREN_STREAMS):
        assert following.wants_stream(0.0)
        following.stream()
        following.failed(LOST, 0.0)
        following.poll()
        following.polled(Batch.read(document()), 0.0)
    assert not following.wants_stream(0.0)


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError(problem(404, "not_found")),
        ApiError(problem(405, "method_not_allowed")),
        UnexpectedAnswerError("no stream of events: HTTP 200, text/html"),
    ],
    ids=["no such path", "no such method", "another type"],
)
def test_a_server_without_streams_is_polled_at_once(error: ImageBatchError) -> None:
    following = Following("r1", 0.0)
    following.stream()
    following.failed(error, 0.0)
    assert (following.wants_stream(0.0), following.pause_s(0.0)) == (False, 0.0)
    following.poll()
    with pytest.raises(type(error)):
        following.failed(error, 0.0)


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError(problem(404, "unknown_request")),
        UnauthorizedError(problem(401, "missing_token")),
        ApiError(problem(403, "host_not_allowed")),
    ],
    ids=lambda error: error.code,
)
def test_a_refusal_ends_it(error: ImageBatchError) -> None:
    following = Following("r1", 0.0)
    following.stream()
    with pytest.raises(type(error)):
        following.failed(error, 0.0)


@pytest.mark.parametrize("error", [LOST, ApiError(problem(503, "records_unavailable"))], ids=["lost", "503"])
def test_what_may_pass_is_waited_for_a_minute(error: ImageBatchError) -> None:
    following = Following("r1", 0.0)
    following.poll()
    following.polled(Batch.read(document()), 100.0)
    following.failed(error, 100.0 + PATIENCE_S)
    with pytest.raises(type(error)):
        following.failed(error, 100.1 + PATIENCE_S)


def test_near_its_deadline_it_asks_for_a_stream_can_not_be_left() -> None:
    following = Following("r1", 0.0, timeout_s=100.0)
    assert following.wants_stream(99.0 - SILENCE_S)
    assert not following.wants_stream(100.0 - SILENCE_S)
    following.poll()
    assert following.pause_s(99.75) == 0.25
    with pytest.raises(WaitTimeoutError, match="it goes on"):
        following.pause_s(100.0)


@pytest.mark.parametrize("data", [b"data: {\n\n", b"data: []\n\n", b'data: {"status": 1}\n\n'])
def test_an_event_that_is_no_status_is_told(data: bytes) -> None:
    following = Following("r1", 0.0)
    following.stream()
    with pytest.raises(UnexpectedAnswerError):
        following.received(b"event: status\n" + data, 0.0)
