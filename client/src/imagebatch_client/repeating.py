"""When a call is made again whose answer was lost. Does no I/O, and reads no clock.

An upload goes with an Idempotency-Key, so that to repeat it is safe: the server finds what it has.
"""

from collections.abc import Iterator
from itertools import chain, repeat

from imagebatch_client.calls import PASSING
from imagebatch_client.errors import ApiError, ImageBatchError, NoAnswerError

PATIENCE_S = 120.0
"""How long it pauses, all in all. How long the tries take does not count: a large file takes its time."""

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
MAX_PAUSE_S = 15.0


class Repeating:
    """Decides after each failure of a call whether, and when, it is made again."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._left_s = patience_s
        self._pauses: Iterator[float] = chain(PAUSES_S, repeat(MAX_PAUSE_S))
        self._was_sent = False

    def pause_s(self, error: ImageBatchError) -> float:
        """How long to wait before the next try. Raises `error` when there is to be none.

        Where no try has reached the server yet, there is none.
        """
        self._was_sent = self._was_sent or not isinstance(error, NoAnswerError) or error.was_sent
        if not self._was_sent or not _may_pass(error):
            raise error
        asked = error.retry_after_s if isinstance(error, ApiError) else None
        pause = min(max(next(self._pauses), asked or 0.0), MAX_PAUSE_S)
        self._left_s -= pause
        if self._left_s < 0:
            raise error
        return pause


def _may_pass(error: ImageBatchError) -> bool:
    if isinstance(error, ApiError):
        return error.status in PASSING or error.code == "upload_running"
    return isinstance(error, NoAnswerError)
