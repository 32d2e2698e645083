"""What is known of each host during a shard: how busy it is, and whether it answers at all.

Used by `fetch`. A dead host with many links would otherwise cost a time-out a link.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

FAILURES_TO_SKIP = 20
SKIP_SECONDS = 30.0


class HostHealth:
    """Whether to try a host: after 20 failed connections in a row it is left alone for 30 s, then probed.

    While the one probe is under way, others are still turned away. `clock` is in seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._closed_until = 0.0

    def may_try(self) -> bool:
        """Ask just before each try; a True may be the probe, so follow it with `record`."""
        if self._failures < FAILURES_TO_SKIP:
            return True
        if self._clock() < self._closed_until:
            return False
        self._closed_until = self._clock() + SKIP_SECONDS
        return True

    def record(self, *, connected: bool) -> None:
        if connected:
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= FAILURES_TO_SKIP:
            self._closed_until = self._clock() + SKIP_SECONDS


class Hosts:
    """The hosts of a shard, by name and port."""

    def __init__(self, connections: int, per_host: int) -> None:
        self._all = asyncio.Semaphore(connections)
        self._per_host = per_host
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._health: dict[str, HostHealth] = {}

    @asynccontextmanager
    async def slot(self, host: str) -> AsyncIterator[HostHealth]:
        """Wait until the host may be asked; a host that is busy or slow holds up nobody else's turn."""
        of_host = self._slots.setdefault(host, asyncio.Semaphore(self._per_host))
        async with of_host, self._all:
            yield self._health.setdefault(host, HostHealth())
