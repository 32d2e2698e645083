"""How a batch is followed to its end: by its events, and by asking where these do not come.

Does no I/O: `sync` and `aio` open the stream or ask for the status as `Following` says, and report to it
what came of that.
"""

import json

from imagebatch_client import calls
from imagebatch_client.calls import Call
from imagebatch_client.documents import Batch
from imagebatch_client.errors import (
    ApiError,
    ImageBatchError,
    NoAnswerError,
    UnexpectedAnswerError,
    WaitTimeoutError,
)
from imagebatch_client.sse import Event, EventReader, TooLongError

SILENCE_S = 40.0
"""The server sends a comment each 15 s; a connection on which nothing comes for so long is dead."""

POLL_S = 1.0
PATIENCE_S = 60.0
MAX_BARREN_STREAMS = 2
"""After so many streams that brought nothing (a proxy may hold them back) only polling is left."""


class Following:
    """One batch, from now to its end."""

    def __init__(self, batch_id: str, now_s: float, timeout_s: float | None = None) -> None:
        self._id = batch_id
        self._deadline_s = None if timeout_s is None else now_s + timeout_s
        self._well_s = now_s
        self._reader = EventReader()
        self._last: Batch | None = None
        self._last_event_id = ""
        self._barren = 0
        self._is_streaming = False
        self._polls_next = False
        self._pause_s = 0.0

    @property
    def is_over(self) -> bool:
        return self._last is not None and self._last.is_finished

    def wants_stream(self, now_s: float) -> bool:
        """Whether to read from the stream, or else to ask for the status.

        A stream can't be left before its next bytes, so that near the deadline one asks.
        """
        is_near = self._deadline_s is not None and self._deadline_s - now_s <= SILENCE_S
        return not (self._polls_next or is_near or self._barren >= MAX_BARREN_STREAMS)

    def stream(self) -> Call[None]:
        self._reader = EventReader()
        self._is_streaming = True
        self._barren += 1
        return calls.events(self._id, self._last_event_id)

    def opened(self, status: int, media_type: str) -> None:
        """The stream's head came. Raises UnexpectedAnswerError when it is no stream of events."""
        if status != 200 or not media_type.startswith("text/event-stream"):
            raise UnexpectedAnswerError(f"no stream of events: HTTP {status}, {media_type or 'no type'}")

    def received(self, chunk: bytes, now_s: float) -> list[Batch]:
        """What is new in some bytes of the stream. Raises UnexpectedAnswerError."""
        self._well_s = now_s
        self._barren = 0
        try:
            return [new for event in self._reader.feed(chunk) for new in self._news_of(event)]
        except (TooLongError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise UnexpectedAnswerError(f"an event can't be read: {error}") from error

    def _news_of(self, event: Event) -> list[Batch]:
        if event.name != "status":
            return []
        self._last_event_id = event.id
        return self._news(Batch.read(json.loads(event.data)))

    def stream_ended(self) -> None:
        """It ended, whole: ask once, then open it again."""
        self._is_streaming, self._polls_next, self._pause_s = False, True, 0.0

    def poll(self) -> Call[Batch]:
        self._polls_next = False
        self._pause_s = POLL_S
        return calls.batch(self._id)

    def polled(self, found: Batch, now_s: float) -> list[Batch]:
        self._well_s = now_s
        return self._news(found)

    def _news(self, found: Batch) -> list[Batch]:
        if found == self._last:
            return []
        self._last = found
        return [found]

    def failed(self, error: ImageBatchError, now_s: float) -> None:
        """Something went wrong. Raises `error` when to try again is of no use, or was tried for a minute."""
        was_streaming, self._is_streaming = self._is_streaming, False
        self._pause_s = POLL_S
        self._polls_next = True
        if was_streaming and _is_of_streams_only(error):
            self._barren = MAX_BARREN_STREAMS
            self._pause_s = 0.0
        elif not _may_pass(error) or now_s - self._well_s > PATIENCE_S:
            raise error

    def pause_s(self, now_s: float) -> float:
        """How long to wait before the next step. Raises WaitTimeoutError."""
        if self._deadline_s is None:
            return self._pause_s
        if now_s >= self._deadline_s:
            raise WaitTimeoutError(f"batch {self._id} has not ended yet; it goes on")
        return min(self._pause_s, self._deadline_s - now_s)


def _is_of_streams_only(error: ImageBatchError) -> bool:
    """Whether asking for the status may work where the stream does not, as with a server without streams."""
    if isinstance(error, ApiError):
        return error.code in {"not_found", "method_not_allowed"}
    return isinstance(error, UnexpectedAnswerError)


def _may_pass(error: ImageBatchError) -> bool:
    if isinstance(error, ApiError):
        return error.status in calls.PASSING
    return isinstance(error, NoAnswerError)
