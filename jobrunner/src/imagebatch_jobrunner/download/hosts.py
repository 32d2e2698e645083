"""What is known of each host during a shard: how busy it is, whether it answers, whether it asked for quiet.

Used by `fetch`. A dead host with many links would otherwise cost a time-out a link, and one that is
overloaded would be asked for the next link while it still refuses the last.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from imagebatch_jobrunner.errors import FetchError

FAILURES_TO_SKIP = 20
SKIP_SECONDS = 30.0

SILENCES_TO_SKIP = 3
"""So few time-outs are enough for a host that has never answered: each holds a connection all the time."""

STRANGERS_AT_ONCE = 2
"""As long as a host has not answered, no more of its links are downloaded at once; later, more may be."""

MAX_QUIET_S = 30.0
"""How long one answer's Retry-After keeps the host's other links waiting: it may concern that link only."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


def host_of(link: str) -> str:
    """Host and port: what connections and failures are counted by; "" for a link that has none."""
    try:
        parts = urlsplit(link)
        name, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    return f"{name.rstrip('.')}:{port or _DEFAULT_PORTS.get(parts.scheme.lower(), 0)}"


class HostHealth:
    """Whether to try a host: after 20 failures in a row it is left alone for 30 s, then probed.

    A failure is a connection that was not made, or an answer that asked to come back later. Of a host that
    has never answered, three time-outs are enough. While the one probe is under way, others are still turned
    away. `clock` is in seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._silences = 0
        self._closed_until = 0.0
        self.has_answered = False
        self.last_failure: FetchError | None = None

    @property
    def is_skipped(self) -> bool:
        return self._is_given_up and self._clock() < self._closed_until

    @property
    def _is_given_up(self) -> bool:
        is_stranger = not self.has_answered and self._silences >= SILENCES_TO_SKIP
        return is_stranger or self._failures >= FAILURES_TO_SKIP

    def may_try(self) -> bool:
        """Ask just before each try. True may stand for the probe, so report how the try ended."""
        if not self._is_given_up:
            return True
        if self.is_skipped:
            return False
        self._closed_until = self._clock() + SKIP_SECONDS
        return True

    def answered(self) -> None:
        self.has_answered = True
        self._failures = self._silences = 0

    def asked_for_quiet(self, error: FetchError) -> None:
        """It is there, and wants to be asked later."""
        self.has_answered = True
        self.failed(error)

    def failed(self, error: FetchError, *, is_silent: bool = False) -> None:
        """`is_silent`: nothing came in time, not even a refusal."""
        self.last_failure = error
        self._failures += 1
        self._silences += is_silent
        if self._is_given_up:
            self._closed_until = self._clock() + SKIP_SECONDS


class Host:
    """One host of a shard; at most `at_once` downloads have a slot of it, fewer until it has answered."""

    def __init__(self, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.health = HostHealth(clock)
        self.at_once = min(at_once, STRANGERS_AT_ONCE)
        self.room = asyncio.Semaphore(self.at_once)
        self._at_most = at_once
        self._clock = clock
        self._quiet_until = 0.0

    def is_there(self) -> None:
        """It has answered: from now on it may be asked as much as any host."""
        for _ in range(self.at_once, self._at_most):
            self.room.release()
        self.at_once = self._at_most

    def keep_quiet(self, seconds: float) -> None:
        """The host asked for a pause: no more links of it until then, within reason."""
        self._quiet_until = max(self._quiet_until, self._clock() + min(seconds, MAX_QUIET_S))

    def quiet_s(self) -> float:
        """How long to wait before asking it; nothing when it is skipped anyway."""
        return 0.0 if self.health.is_skipped else max(0.0, self._quiet_until - self._clock())


class Hosts:
    """The hosts of a shard, by name and port."""

    def __init__(self, connections: int, per_host: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._all = asyncio.Semaphore(connections)
        self._per_host = per_host
        self._clock = clock
        self._hosts: dict[str, Host] = {}

    def at_once(self, name: str) -> int:
        """How many links of a host may be under way now."""
        return self._host(name).at_once

    def _host(self, name: str) -> Host:
        return self._hosts.setdefault(name, Host(self._per_host, self._clock))

    @asynccontextmanager
    async def slot(self, name: str) -> AsyncIterator[Host]:
        """Wait until the host may be asked; a host that is busy or quiet holds up nobody else's turn.

        Hold one slot at a time: who waited for a second one could wait for somebody who waits likewise.
        """
        host = self._host(name)
        while True:
            await _until_quiet_ends(host)
            async with host.room, self._all:
                if not host.quiet_s():
                    yield host
                    return


async def _until_quiet_ends(host: Host) -> None:
    while wait_s := host.quiet_s():  # noqa: ASYNC110 - an answer may have made it longer meanwhile
        await asyncio.sleep(wait_s)
