"""The programs of the system on one machine: API, engine, dispatcher and what removes, in this process."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import structlog
from starlette.applications import Starlette

from imagebatch import settings, webhook
from imagebatch.batch.collector import Collector
from imagebatch.batch.control import RecordedControl
from imagebatch.batch.intake import RecordedIntake
from imagebatch.batch.removal import Count
from imagebatch.batch.sweep import Sweeper
from imagebatch.metrics import BatchMetrics
from imagebatch.net import transport
from imagebatch.settings import NetworkSettings
from imagebatch.storage.async_store import AsyncStore
from imagebatch_api.app import Services, create_app
from imagebatch_api.purge import Purge
from imagebatch_api.server import HeadLimits, serve
from imagebatch_api.settings import ApiSettings
from imagebatch_cli import engine, examples
from imagebatch_cli.backing_servers import BackingServers
from imagebatch_cli.backing_services import BackingServices, connected
from imagebatch_cli.data_folder import LOOPBACK, DataFolder, free_ports, is_free
from imagebatch_cli.disk_watch import restart_after_full
from imagebatch_cli.engine import LocalEngine
from imagebatch_cli.processes import ServiceFailedError, keep_running
from imagebatch_cli.seaweed import EmbeddedS3
from imagebatch_cli.settings import LocalSettings
from imagebatch_cli.shards import ShardProcesses
from imagebatch_cli.system import LocalSystem

DEFAULT_PORT = 8080
WEBHOOK_CONNECTIONS = 16

log = structlog.get_logger()


@asynccontextmanager
async def running(
    servers: BackingServers, folder: DataFolder, local: LocalSettings, port: int | None
) -> AsyncIterator[LocalSystem]:
    """Run them on servers that run; all end with the block, or when one fails. Raises as `local_system`."""
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(connected(servers))
        background = await stack.enter_async_context(_background())
        for server in base.servers:
            background.start(keep_running(server))
            if isinstance(server, EmbeddedS3):
                background.start(restart_after_full(server.service))
        examples_url = await _serve_examples(background, local.examples_port)
        network = _opened(local, examples_url)
        metrics = BatchMetrics(base.records)
        driving = await _start_engine(stack, background, base, _Rules(folder, local, network), metrics)
        services, api = _services(base, driving, network, metrics), settings.read(ApiSettings)
        background.start(Purge(services, is_alone=True).run())
        background.start(_collector(base, local, metrics.count_removed).run())
        api_port = _choose_port(folder.read().api_port, port)
        await background.serve(create_app(services, api), api_port, api.head_limits, services.stopping)
        folder.remember_api(api_port)
        yield LocalSystem(f"http://{LOOPBACK}:{api_port}", base.records, examples_url)


def _collector(base: BackingServices, local: LocalSettings, count: Count) -> Collector:
    store, policy = AsyncStore(base.store), local.retention
    sweeper = Sweeper(base.records, store, policy, count=count)
    return Collector(base.records, store, policy, sweeper, count=count, is_alone=True)


def _services(
    base: BackingServices, driving: "_Driving", network: NetworkSettings, metrics: BatchMetrics
) -> Services:
    wake = driving.engine.wake
    intake = RecordedIntake(base.records, wake)
    control = RecordedControl(base.records, wake, driving.dispatcher.wake)
    return Services(base.store, base.records, intake, control, network.address_policy, metrics=metrics)


@dataclass(frozen=True, slots=True)
class _Driving:
    """What drives batches, and sends their webhooks."""

    engine: LocalEngine
    dispatcher: webhook.Dispatcher


@dataclass(frozen=True, slots=True)
class _Rules:
    folder: DataFolder
    local: LocalSettings
    network: NetworkSettings


class _Background:
    """Tasks that run as long as the system. When one of them fails, the group brings all down."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, work: Coroutine[object, object, None]) -> None:
        self.tasks.append(self._group.create_task(work))

    async def serve(
        self, app: Starlette, port: int, head: HeadLimits, stopping: asyncio.Event | None = None
    ) -> None:
        """Serve on loopback; returns once connections are accepted."""
        started = asyncio.Event()
        self.start(serve(app, LOOPBACK, port, started=started, stopping=stopping, head=head))
        await started.wait()


@asynccontextmanager
async def _background() -> AsyncIterator[_Background]:
    async with asyncio.TaskGroup() as group:
        background = _Background(group)
        try:
            yield background
        finally:
            for task in reversed(background.tasks):
                if not task.cancelling():  # the group cancels them itself when one fails
                    task.cancel()


async def _serve_examples(background: _Background, port: int) -> str | None:
    """Serve the example images, unless there are none, or another local system does so already."""
    images = examples.find_images()
    if images is None or port == 0:
        return None
    if is_free(port):
        await background.serve(examples.app(images), port, HeadLimits())
    elif not await examples.are_served(port):
        log.warning("the example images are not served: the port is taken", port=port)
        return None
    return f"http://{LOOPBACK}:{port}"


def _opened(local: LocalSettings, examples_url: str | None) -> NetworkSettings:
    """The user's own openings, and the port of the examples."""
    openings = [local.allowed_networks] if local.allowed_networks else []
    if examples_url is not None:
        openings.append(f"{LOOPBACK}/32:{local.examples_port}")
    opened = NetworkSettings(allowed_networks=",".join(openings))
    _ = opened.address_policy  # a mistake in it is reported at start-up
    return opened


async def _start_engine(
    stack: AsyncExitStack,
    background: _Background,
    base: BackingServices,
    rules: _Rules,
    metrics: BatchMetrics,
) -> _Driving:
    client = await stack.enter_async_context(
        transport.client(
            rules.network.address_policy,
            connections=WEBHOOK_CONNECTIONS,
            timeout=httpx.Timeout(webhook.TIMEOUT_S),
        )
    )
    secret = rules.local.webhook_secret.get_secret_value()

    async def secret_for(_: str) -> str:
        return secret

    dispatcher = webhook.Dispatcher(base.records, client, secret_for, tried=metrics.count_delivery)
    shards = ShardProcesses(base.s3, rules.network, rules.folder.logs, rules.local.shards_at_once)
    services = engine.Services(
        rules.folder.read().engine, base.records, AsyncStore(base.store), shards, dispatcher.wake, metrics
    )
    made = LocalEngine(services)
    background.start(dispatcher.run())
    background.start(made.run())
    return _Driving(made, dispatcher)


def _choose_port(kept: int, asked: int | None) -> int:
    """The port asked for, or the one kept from before, or the default, or any that is free."""
    if asked is not None:
        if not is_free(asked):
            raise ServiceFailedError(f"port {asked} on {LOOPBACK} is in use; choose another with --port")
        return asked
    return next((port for port in (kept, DEFAULT_PORT) if is_free(port)), 0) or free_ports(1)[0]
