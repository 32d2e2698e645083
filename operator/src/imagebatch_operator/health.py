"""Health and metrics over HTTP, on the loop that does the work: when that freezes, nothing answers.

Liveness is that work goes on, whatever its result: a restart cures no dependency. Readiness is that Postgres
and S3 answer.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from imagebatch.batch.work_queue import WorkQueue
from imagebatch.errors import ImageBatchError
from imagebatch.metrics import BatchMetrics
from imagebatch.records import Records
from imagebatch.storage.async_store import AsyncStore

TIMEOUT_S = 5.0
STUCK_S = 900.0
"""Longer than the longest honest attempt: a million reports read while S3 is slow."""

log = structlog.get_logger()


class Health:
    """The endpoints."""

    def __init__(self, queue: WorkQueue, records: Records, store: AsyncStore, metrics: BatchMetrics) -> None:
        self._queue = queue
        self._records = records
        self._store = store
        self._metrics = metrics

    async def live(self, _: web.Request) -> web.Response:
        stuck = self._queue.stuck_s()
        if stuck > STUCK_S:
            return web.json_response({"status": "stuck", "seconds": round(stuck)}, status=503)
        return web.json_response({"status": "ok", "attempts": self._queue.attempts})

    async def ready(self, _: web.Request) -> web.Response:
        checks = {"postgres": self._records.ping(), "s3": self._store.run(lambda store: store.check())}
        answers = await asyncio.gather(*(_holds(check) for check in checks.values()))
        missing = [name for name, holds in zip(checks, answers, strict=True) if not holds]
        if missing:
            return web.json_response({"status": "not ready", "missing": missing}, status=503)
        return web.json_response({"status": "ready"})

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=await self._metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _holds(check: Awaitable[None]) -> bool:
    """Whether a check succeeds in time."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await check
    except (ImageBatchError, TimeoutError):
        return False
    return True


@asynccontextmanager
async def served(health: Health, host: str, port: int) -> AsyncIterator[None]:
    """Serve the endpoints until the block ends. Raises OSError when the address can't be bound."""
    app = web.Application()
    app.router.add_get("/healthz", health.live)
    app.router.add_get("/readyz", health.ready)
    app.router.add_get("/metrics", health.metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        log.info("health and metrics are served", host=host, port=port)
        yield
    finally:
        await runner.cleanup()
