"""A fair queue of links: in an order in which no host keeps the others waiting.

Used by `shard_run`. Rows come sorted by shop and thereby by host; taken in that order, the links of one slow
host would fill the whole window of work while all other hosts are idle.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterable

from imagebatch_jobrunner.shard_input import Slot


class Permit:
    """Permission to work on a link now. It counts for its host until it is released."""

    def __init__(self, slot: Slot, on_release: Callable[[], None]) -> None:
        self.slot = slot
        self._on_release: Callable[[], None] | None = on_release

    def release(self) -> None:
        """The link is downloaded, or failed: its host has room again. A second call does nothing."""
        on_release, self._on_release = self._on_release, None
        if on_release is not None:
            on_release()


class FairQueue:
    """The links in order, save that a host is passed over while it has all the links it may have under way.

    `per_host` says how many a host may have; that may grow whenever one of its links is released.
    """

    def __init__(
        self, slots: Iterable[Slot], host_of: Callable[[Slot], str], per_host: Callable[[str], int]
    ) -> None:
        self._per_host = per_host
        self._queues: dict[str, deque[tuple[int, Slot]]] = {}
        self._active: dict[str, int] = {}
        for place, slot in enumerate(slots):
            self._queues.setdefault(host_of(slot), deque()).append((place, slot))
        self._ready = [(queue[0][0], host) for host, queue in self._queues.items()]
        heapq.heapify(self._ready)
        self._is_ready = set(self._queues)
        self._changed = asyncio.Event()

    async def next(self) -> Permit | None:
        """The first link whose host has room, once there is one; None when all links are handed out.

        For one caller at a time.
        """
        while not self._ready:
            if not self._queues:
                return None
            self._changed.clear()
            await self._changed.wait()
        _, host = heapq.heappop(self._ready)
        queue = self._queues[host]
        _, slot = queue.popleft()
        self._active[host] = self._active.get(host, 0) + 1
        self._is_ready.discard(host)
        if not queue:
            del self._queues[host]
        self._offer(host)
        return Permit(slot, lambda: self._release(host))

    def _release(self, host: str) -> None:
        self._active[host] -= 1
        self._offer(host)

    def _offer(self, host: str) -> None:
        """Let the host's next link be taken, when it has one and room for it."""
        queue = self._queues.get(host)
        if queue and host not in self._is_ready and self._active[host] < self._per_host(host):
            heapq.heappush(self._ready, (queue[0][0], host))
            self._is_ready.add(host)
            self._changed.set()
