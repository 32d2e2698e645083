"""Whether what the API depends on answers."""

import asyncio

import anyio
from anyio import to_thread

from imagebatch.errors import RecordsError, StoreError
from imagebatch_api.services import Services

TIMEOUT_S = 5.0


async def not_ready(services: Services) -> list[str]:
    """The names of what does not answer in time."""
    if services.ready is not None:
        return await services.ready()
    checks = {"postgres": _postgres(services), "s3": _s3(services)}
    answers = await asyncio.gather(*checks.values())
    return [name for name, is_up in zip(checks, answers, strict=True) if not is_up]


async def _postgres(services: Services) -> bool:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await services.records.ping()
    except (RecordsError, TimeoutError):
        return False
    return True


async def _s3(services: Services) -> bool:
    try:
        with anyio.fail_after(TIMEOUT_S):
            await to_thread.run_sync(services.store.check, abandon_on_cancel=True)
    except (StoreError, TimeoutError):
        return False
    return True
