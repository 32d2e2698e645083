"""A span of time that runs only while a host keeps us waiting, not while we wait for ourselves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Deadline:
    """`seconds` in all, used up by what happens inside `running`; used by one task."""

    def __init__(self, seconds: float) -> None:
        self.left_s = seconds
        self._timeout = asyncio.timeout(None)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Raises TimeoutError when the time is used up."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self.left_s) as self._timeout:
            try:
                yield
            finally:
                when = self._timeout.when()
                self.left_s = max(0.0, when - loop.time()) if when is not None else self.left_s

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Inside `running`: what happens here takes no time from it."""
        loop = asyncio.get_running_loop()
        when = self._timeout.when()
        assert when is not None
        left_s = when - loop.time()
        self._timeout.reschedule(None)
        yield
        self._timeout.reschedule(loop.time() + left_s)

    def spend(self, seconds: float) -> None:
        """Count time that was spent outside of `running`."""
        self.left_s -= seconds
