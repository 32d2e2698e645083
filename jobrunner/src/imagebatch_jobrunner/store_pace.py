"""How many puts to S3 a shard runs at once: half as many after a refusal, one more after as many successes.

Used by `store_threads`. That is additive increase and multiplicative decrease, as TCP does it (RFC 5681):
many shards that meet one busy bucket share it without knowing of each other.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

from imagebatch.batch.lifecycle import Waiting
from imagebatch.errors import AccessDeniedError, NotFoundError, StoreError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
PATIENCE_S = 600.0
"""How long one image's put is tried; then the run ends, and its successor goes on from the checkpoint."""

FRESH_S = 10.0
"""How long after a refusal the shard is reported as waiting, though other puts were taken since."""

LASTING = (AccessDeniedError, NotFoundError)
"""What no waiting cures: a key or a bucket that is wrong."""


class StorePace:
    """Bounds how many puts run at once: at first `most`, never fewer than one.

    It calls `refused` at each refusal.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._running = 0
        self._changed = asyncio.Event()
        self._refused_at = self._taken_at = float("-inf")
        self._refusal: StoreError | None = None
        self.refused: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Room for one put. Its StoreError counts as a refusal, and passes on."""
        while self._running >= self._limit:
            self._changed.clear()
            await self._changed.wait()
        self._running += 1
        try:
            yield
            self._limit = min(self._limit + 1 / self._limit, self._most)
            self._taken_at = asyncio.get_running_loop().time()
        except StoreError as error:
            self._limit = max(self._limit / 2, 1.0)
            self._refused_at, self._refusal = asyncio.get_running_loop().time(), error
            self.refused()
            raise
        finally:
            self._running -= 1
            self._changed.set()

    @property
    def waiting(self) -> Waiting | None:
        """Why puts wait, where S3 refused one a moment ago, or took none since."""
        is_old = asyncio.get_running_loop().time() > self._refused_at + FRESH_S
        if self._refusal is None or (is_old and self._taken_at > self._refused_at):
            return None
        return Waiting(self._refusal.reason, f"tried again, more slowly: {self._refusal}")


def pauses() -> Iterator[float]:
    """Seconds between tries: growing, with jitter, so that those who were refused together come apart."""
    pause = FIRST_PAUSE_S
    while True:
        yield pause * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
        pause = min(pause * 2, LONGEST_PAUSE_S)
