"""`python -m imagebatch_operator`: watch ImageBatches, and run them as Indexed Jobs; with `gc`, remove once
what is no longer kept.
"""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import httpx
import kopf
import structlog

from imagebatch import logs, migrations, webhook
from imagebatch.batch.background import BackgroundTasks
from imagebatch.batch.services import Services as DriverServices
from imagebatch.batch.work_queue import WorkQueue
from imagebatch.errors import ImageBatchError, RecordsError, SettingsError
from imagebatch.metrics import BatchMetrics
from imagebatch.net import transport
from imagebatch.records import Delivery, Records, Request, connect
from imagebatch.settings import read
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.s3 import S3Store
from imagebatch_operator import health, job_executor, kube, restore, retention, watches
from imagebatch_operator.answers import Answers
from imagebatch_operator.cleanup import Cleanup
from imagebatch_operator.health import Health
from imagebatch_operator.kube import Kube
from imagebatch_operator.links import Links
from imagebatch_operator.pod_cache import PodCache
from imagebatch_operator.reconcile import Reconciler, Services
from imagebatch_operator.repair import Repair
from imagebatch_operator.settings import OperatorSettings
from imagebatch_operator.source import SourceLimits, Sources
from imagebatch_operator.status_writer import PublicLinks, StatusWriter
from imagebatch_operator.webhook_secrets import WebhookSecrets
from imagebatch_operator.webhook_tests import WebhookTests
from imagebatch_operator.webhooks import Webhooks

THREADS = 32
STORE_CONNECTIONS = 32
CLIENT_CONNECTIONS = 16
RETRY_S = 3.0
OUTBOX_LOOK_S = 10.0
"""The API puts tests and repeated deliveries into the outbox, and whoever asked it for a test waits 20 s."""

log = structlog.get_logger()


def main() -> int:
    logs.configure("info")
    try:
        settings = read(OperatorSettings)
        webhook.check_secret(settings.webhook_secret.get_secret_value())
        _ = settings.address_policy
    except SettingsError as error:
        log.critical("settings are not usable", reason=str(error))
        return 1
    logs.configure(settings.log_level)
    logs.adopt_standard_logging()
    if sys.argv[1:2] == [restore.COMMAND]:
        return _restore(settings, sys.argv[2:])
    if sys.argv[1:2] == [retention.COMMAND]:
        return _collect(settings, sys.argv[2:])
    asyncio.run(_run(settings))
    return 0


def _restore(settings: OperatorSettings, given: list[str]) -> int:
    try:
        return asyncio.run(restore.run(settings, restore.arguments(given)))
    except ImageBatchError as error:
        log.critical("not restored", reason=str(error))
        return 1


def _collect(settings: OperatorSettings, given: list[str]) -> int:
    try:
        return asyncio.run(retention.run(settings, retention.arguments(given)))
    except ImageBatchError as error:
        log.critical("not removed", reason=str(error))
        return 1


async def _run(settings: OperatorSettings) -> None:
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    async with AsyncExitStack() as stack:
        records = await stack.enter_async_context(_records(settings))
        api = await stack.enter_async_context(kube.connect())
        await _operate(settings, stack, records, api)


@asynccontextmanager
async def _records(settings: OperatorSettings) -> AsyncIterator[Records]:
    """The records, once Postgres is there and migrated."""
    while True:
        try:
            await migrations.upgrade(settings.database_url.get_secret_value())
            break
        except RecordsError as error:
            log.warning("waiting for Postgres", error=str(error))
            await asyncio.sleep(RETRY_S)
    async with connect(settings) as records:
        yield records


async def _operate(settings: OperatorSettings, stack: AsyncExitStack, records: Records, api: Kube) -> None:
    store = S3Store(settings, connections=STORE_CONNECTIONS)
    stack.callback(store.close)
    client = await stack.enter_async_context(
        transport.client(
            settings.address_policy,
            connections=CLIENT_CONNECTIONS,
            timeout=httpx.Timeout(webhook.TIMEOUT_S),
        )
    )
    secrets = WebhookSecrets(api, settings.webhook_secret.get_secret_value())
    metrics = BatchMetrics(records)

    def webhook_tried(delivery: Delivery, result: webhook.TryResult) -> None:
        metrics.count_delivery(delivery, result)
        key = reconciler.webhook_sent(delivery.request_id)
        if key is not None:
            queue.mark(key)

    dispatcher = webhook.Dispatcher(records, client, secrets.secret_for, OUTBOX_LOOK_S, webhook_tried)
    limits = SourceLimits(settings.max_source_bytes, settings.source_seconds, settings.max_rows)
    pods, objects = PodCache(), AsyncStore(store)
    queue = WorkQueue()
    status = StatusWriter(api, PublicLinks(store, settings.public_url))
    drivers = DriverServices(
        records=records,
        store=objects,
        background=BackgroundTasks(queue.mark),
        webhook_owed=dispatcher.wake,
        metrics=metrics,
    )
    executors = job_executor.Services(
        kube=api,
        store=objects,
        sources=Sources(store, api, client, limits),
        pods=pods,
        status=status,
        cleanup=Cleanup(api, records, store, pods, dispatcher.wake),
        settings=settings,
    )
    answers = Answers(
        links=Links(objects, status),
        tests=WebhookTests(records, status, settings.address_policy, dispatcher.wake),
        webhooks=Webhooks(records, status, dispatcher.wake),
    )
    reconciler = Reconciler(Services(drivers=drivers, executors=executors, answers=answers))
    metrics.watch_queue(queue)

    def files_removed(request: Request) -> None:
        key = reconciler.row_changed(request)
        if key is not None:
            queue.mark(key)

    collector = retention.collector(
        settings, records, objects, api, count=metrics.count_removed, seen=files_removed
    )
    endpoints = Health(queue, records, objects, metrics)
    await stack.enter_async_context(health.served(endpoints, settings.operator_host, settings.operator_port))
    async with asyncio.TaskGroup() as group:
        repair = Repair(records, api, settings.watched, reconciler.is_known, queue.mark)
        work = [
            group.create_task(queue.run(reconciler.reconcile)),
            group.create_task(dispatcher.run()),
            group.create_task(repair.run()),
            group.create_task(collector.run()),
        ]
        await kopf.operator(
            registry=watches.registry(queue.mark, pods),
            settings=watches.settings(),
            namespaces=settings.watched,
            standalone=True,
            identity=cast(Any, socket.gethostname()),  # kopf's own needs a user's name; a pod has none
        )
        for task in work:
            task.cancel()


if __name__ == "__main__":
    sys.exit(main())
