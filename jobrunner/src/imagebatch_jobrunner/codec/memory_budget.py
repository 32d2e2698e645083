"""How much memory all codec processes take at once for pictures. Held by their parent, in `pool`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class MemoryBudget:
    """Bytes that pictures take in all codec processes together; granted in the order of asking.

    A picture that needs more than all of it is let in when it is alone.
    """

    def __init__(self, total_bytes: int) -> None:
        self._total = total_bytes
        self._used = 0
        self._queue = asyncio.Lock()
        self._freed = asyncio.Event()

    @property
    def used(self) -> int:
        return self._used

    def take_at_once(self, size: int) -> int:
        """`size` where there is room for it and nobody waits, else 0; then `give_back` it."""
        if self._queue.locked() or self._used + size > self._total:
            return 0
        self._used += size
        return size

    def give_back(self, size: int) -> None:
        self._used -= size
        self._freed.set()

    @asynccontextmanager
    async def grant(self, size: int) -> AsyncIterator[None]:
        """Wait until there is room for `size` bytes."""
        async with self._queue:
            while self._used and self._used + size > self._total:
                self._freed.clear()
                await self._freed.wait()
            self._used += size
        try:
            yield
        finally:
            self.give_back(size)
