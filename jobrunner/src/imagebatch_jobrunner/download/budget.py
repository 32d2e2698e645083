"""How many bytes of images are in memory at once.

A lease begins before a download, grows with it, and ends when the image is stored. A lease that must wait
to grow could wait for ever if all the others did too; so the oldest one never waits. The budget is thereby
exceeded by at most one image. A lease that waits for something else than memory steps aside meanwhile: were
it the oldest, all would wait for it, and it for them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

FIRST_BYTES = 64 * 1024
"""What a lease begins with: enough for the many small images, without a second wait."""


class ByteBudget:
    """Bytes in flight, shared by all downloads of a shard."""

    def __init__(self, total_bytes: int) -> None:
        self._total = total_bytes
        self._used = 0
        self._leases: dict[Lease, None] = {}
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def used(self) -> int:
        return self._used

    @asynccontextmanager
    async def lease(self) -> AsyncIterator["Lease"]:
        """Wait for room for one more image."""
        lease = Lease(self)
        await self._take(lease, FIRST_BYTES)
        try:
            yield lease
        finally:
            self._give_back(lease)

    async def _take(self, lease: "Lease", more: int) -> None:
        while not self._take_at_once(lease, more):
            await self._until_changed()

    def _take_at_once(self, lease: "Lease", more: int) -> bool:
        if not self._has_room(lease, more):
            return False
        self._leases.setdefault(lease)
        lease.held += more
        self._used += more
        return True

    async def _until_changed(self) -> None:
        change = asyncio.get_running_loop().create_future()
        self._waiting.append(change)
        await change

    def _has_room(self, lease: "Lease", more: int) -> bool:
        oldest = next(iter(self._leases), lease)
        return lease is oldest or self._used + more <= self._total

    def _give_back(self, lease: "Lease") -> None:
        self._leases.pop(lease, None)
        self._used -= lease.held
        lease.held = 0
        waiting, self._waiting = self._waiting, []
        for change in waiting:
            if not change.done():  # it was cancelled
                change.set_result(None)


class Lease:
    """One image's part of the budget."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.held = 0

    def reach_at_once(self, size: int) -> bool:
        """Hold `size` bytes in all, if that needs no wait."""
        return size <= self.held or self._budget._take_at_once(self, size - self.held)  # noqa: SLF001

    async def reach(self, size: int) -> None:
        """Wait until `size` bytes in all may be held."""
        if size > self.held:
            await self._budget._take(self, size - self.held)  # noqa: SLF001 - the two are one thing

    def step_aside(self) -> None:
        """Give everything back, and be the youngest from the next `reach` on."""
        self._budget._give_back(self)  # noqa: SLF001 - the two are one thing
