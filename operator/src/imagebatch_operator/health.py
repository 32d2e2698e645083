"""Health and metrics over HTTP, on the loop that does the work: when that freezes, nothing answers.

Liveness is that work goes on, whatever its result: a restart cures no dependency. Readiness is that Postgres
and S3 answer.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from imagebatch import keys
from imagebatch.errors import ImageBatchError
from imagebatch.records import Records
from imagebatch_operator.reports import AsyncStore
from imagebatch_operator.work_queue import WorkQueue

STUCK_S = 3600.0
"""Longer than the longest honest attempt: snapshotting or merging the largest file."""

log = structlog.get_logger()


class Health:
    """The endpoints."""

    def __init__(
        self, queue: WorkQueue, records: Records, store: AsyncStore, metrics: CollectorRegistry
    ) -> None:
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
        missing = []
        try:
            await self._records.ping()
        except ImageBatchError:
            missing.append("postgres")
        try:
            await self._store.run(lambda store: store.head(f"{keys.BATCHES}ready"))
        except ImageBatchError:
            missing.append("s3")
        if missing:
            return web.json_response({"status": "not ready", "missing": missing}, status=503)
        return web.json_response({"status": "ready"})

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(self._metrics), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )


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
