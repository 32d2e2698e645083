"""`python -m imagebatch_api`: the REST API on Kubernetes, where the operator runs what it takes in."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from typing import TypeVar

import structlog
from anyio import to_thread

from imagebatch import logs, migrations
from imagebatch.errors import ImageBatchError, SettingsError
from imagebatch.records import connect as connect_records
from imagebatch.settings import read
from imagebatch.storage.s3 import S3Store
from imagebatch_api import image_batches
from imagebatch_api.app import create_app
from imagebatch_api.kubernetes_control import KubernetesControl
from imagebatch_api.kubernetes_intake import KubernetesIntake
from imagebatch_api.purge import Purge
from imagebatch_api.server import serve
from imagebatch_api.services import Services
from imagebatch_api.settings import ApiSettings, ServerSettings

RETRY_S = 3.0
STORE_CONNECTIONS = 32

R = TypeVar("R")

log = structlog.get_logger()


def main() -> int:
    logs.configure("info")
    try:
        server = read(ServerSettings)
        settings = read(ApiSettings)
        server.check_access(settings)
        logs.configure(server.log_level)
        logs.adopt_standard_logging()
        asyncio.run(_until_signalled(server, settings))
    except SettingsError as error:
        log.critical("settings are not usable", reason=str(error))
        return 1
    return 0


async def _until_signalled(server: ServerSettings, settings: ApiSettings) -> None:
    """Serve until SIGTERM or Ctrl-C; then running requests have their time to end."""
    loop, serving = asyncio.get_running_loop(), asyncio.create_task(_serve(server, settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serving


async def _serve(server: ServerSettings, settings: ApiSettings) -> None:
    await _migrated(server)
    store = await _store(server)
    async with (
        connect_records(server) as records,
        image_batches.connect(server.namespace) as objects,
    ):
        services = Services(
            store,
            records,
            KubernetesIntake(records, objects),
            KubernetesControl(records, objects),
            server.address_policy,
        )
        log.info("serving", host=server.api_host, port=server.api_port)
        async with asyncio.TaskGroup() as group:
            purging = group.create_task(Purge(services).run())
            await serve(
                create_app(services, settings),
                server.api_host,
                server.api_port,
                stopping=services.stopping,
                head=settings.head_limits,
            )
            purging.cancel()


async def _migrated(server: ServerSettings) -> None:
    url = server.database_url.get_secret_value()
    while True:
        try:
            return await migrations.upgrade(url)
        except ImageBatchError as error:
            log.warning("waiting for Postgres", error=str(error))
            await asyncio.sleep(RETRY_S)


async def _store(server: ServerSettings) -> S3Store:
    """The store, once its bucket is there."""
    store = S3Store(server, connections=STORE_CONNECTIONS)
    if server.s3_create_bucket:
        await _until_done(store.create_bucket)
    return store


async def _until_done(call: Callable[[], R]) -> R:
    while True:
        try:
            return await to_thread.run_sync(call)
        except ImageBatchError as error:
            log.warning("waiting for S3", error=str(error))
        await asyncio.sleep(RETRY_S)


if __name__ == "__main__":
    sys.exit(main())
