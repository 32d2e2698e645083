"""Waiting for a condition, with a deadline."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

SOON_S, POLL_S = 30.0, 0.01


async def until(holds: Callable[[], bool | Awaitable[bool]], within_s: float = SOON_S) -> None:
    """Return once `holds()` is true. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not await _value(holds()):  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(POLL_S)


async def _value(found: bool | Awaitable[bool]) -> bool:
    return await found if inspect.isawaitable(found) else found
