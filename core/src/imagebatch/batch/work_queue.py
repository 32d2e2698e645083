"""The work queue: keys that want attention, each worked on by one worker at a time.

Watches mark keys as often as they like; a key waits at most once. A key whose work fails comes back after
a growing pause, and no mark shortens that pause.
"""

import asyncio
import contextlib
import heapq
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from imagebatch.errors import ImageBatchError

WORKERS = 16
MIN_GAP_S = 0.1
"""The events of a Job and of its pods come in bursts."""

FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 20.0

log = structlog.get_logger()


class Key(NamedTuple):
    """An ImageBatch."""

    namespace: str
    name: str


Work = Callable[[Key], Awaitable[float | None]]
"""Does what there is to do for a key; returns in how many seconds to call it again, or None."""


@dataclass(slots=True)
class _State:
    due: float | None = None
    not_before: float = 0.0
    failures: int = 0
    started: float | None = None
    again: bool = False


class WorkQueue:
    """Marked keys, each worked on by one worker at a time.

    Marks within `min_gap_s` of each other are worked on once. `attempts` and `failures` count; `stuck_s` is
    for liveness.
    """

    def __init__(self, *, workers: int = WORKERS, min_gap_s: float = MIN_GAP_S) -> None:
        self._min_gap_s = min_gap_s
        self._room = asyncio.Semaphore(workers)
        self._states: dict[Key, _State] = {}
        self._heap: list[tuple[float, Key]] = []
        self._woken = asyncio.Event()
        self.attempts = 0
        self.failures = 0

    def __len__(self) -> int:
        return len(self._states)

    def mark(self, key: Key, after: float = 0.0) -> None:
        """Let `key` be worked on in `after` seconds, or earlier if it was due earlier."""
        state = self._states.setdefault(key, _State())
        when = max(time.monotonic() + max(after, self._min_gap_s), state.not_before)
        if state.due is None or when < state.due:
            state.due = when
            heapq.heappush(self._heap, (when, key))
            self._woken.set()

    def forget(self, key: Key) -> None:
        """There is nothing to remember of `key` any more, unless it is marked again."""
        state = self._states.get(key)
        if state is not None and state.started is None:
            del self._states[key]

    def stuck_s(self) -> float:
        """How many seconds the oldest attempt has been under way, or the oldest due key has waited."""
        now = time.monotonic()
        since = [state.started or min(state.due or now, now) for state in self._states.values()]
        return max((now - start for start in since), default=0.0)

    async def run(self, work: Work) -> None:
        """Do `work` for what is marked, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._room.acquire()
                key = await self._next()
                self._states[key].started = time.monotonic()
                self._states[key].due = None
                group.create_task(self._attempt(key, work))

    async def _next(self) -> Key:
        """The next key that is due, once one is."""
        while True:
            self._woken.clear()
            key, wait = self._due()
            if key is not None:
                return key
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._woken.wait()

    def _due(self) -> tuple[Key | None, float | None]:
        """A key that is due now, or the seconds until one is; both None when no key waits."""
        while self._heap:
            when, key = self._heap[0]
            wait = when - time.monotonic()
            state = self._states.get(key)
            is_stale = state is None or state.due != when
            if wait > 0 and not is_stale:
                return None, wait
            heapq.heappop(self._heap)
            if state is None or is_stale:
                continue
            state.due = None
            if state.started is None:
                return key, None
            state.again = True
        return None, None

    async def _attempt(self, key: Key, work: Work) -> None:
        state = self._states[key]
        after: float | None = None
        try:
            after = await work(key)
            state.failures, state.not_before = 0, 0.0
        except ImageBatchError as error:
            log.warning("batch waits", namespace=key.namespace, batch=key.name, error=str(error))
            after = self._pause(state)
        except Exception:
            log.exception("batch waits after a defect", namespace=key.namespace, batch=key.name)
            after = self._pause(state)
        finally:
            self.attempts += 1
            self._room.release()
            self._ended(key, state, after)

    def _pause(self, state: _State) -> float:
        """How long a key whose work failed is left alone."""
        self.failures += 1
        state.failures += 1
        pause = min(FIRST_BACKOFF_S * 2.0 ** min(state.failures - 1, 10), MAX_BACKOFF_S)
        pause *= 0.75 + random.random() / 2  # noqa: S311 - jitter
        state.not_before = time.monotonic() + pause
        return pause

    def _ended(self, key: Key, state: _State, after: float | None) -> None:
        state.started = None
        if state.again:
            state.again = False
            self.mark(key)
        if after is not None:
            self.mark(key, after)
        if state.due is None:
            self.forget(key)
