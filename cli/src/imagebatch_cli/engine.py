"""The local engine: drives the pending requests that it holds leases on, shards as processes of this machine.

All that must survive a crash is in the records and on S3, so a new engine simply begins again. Engines of
other machines may share the records, and the store, too: each request is driven by one of them.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from imagebatch.batch.background import BackgroundTasks
from imagebatch.batch.driver import BatchDriver
from imagebatch.batch.own_store import adopted
from imagebatch.batch.services import Services as DriverServices
from imagebatch.batch.work_queue import Key, WorkQueue
from imagebatch.errors import RecordsError, UnavailableError
from imagebatch.metrics import BatchMetrics
from imagebatch.records import Records, Request
from imagebatch.storage.async_store import AsyncStore
from imagebatch_cli.process_executor import ProcessExecutor
from imagebatch_cli.shards import ShardProcesses

SCAN_S = 15.0
"""How often the records are looked through for what nobody woke the engine for."""

LEASE_S = 60.0
"""How long a request is left alone whose engine says nothing, dead or cut off."""

NAMESPACE = "local"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Services:
    """What an engine works with. `holder` names it, now and when it is started again, and no other engine.
    `webhook_owed` is called after a terminal commit that owes a webhook.
    """

    holder: str
    records: Records
    store: AsyncStore
    shards: ShardProcesses
    webhook_owed: Callable[[], None]
    metrics: BatchMetrics


@dataclass(frozen=True, slots=True)
class _Attempt:
    """An attempt that is under way."""

    number: int
    driver: BatchDriver
    executor: ProcessExecutor


class LocalEngine:
    """Runs the pending requests that it holds leases on, and does what their specs say by now."""

    def __init__(self, services: Services) -> None:
        self._with = services
        self._queue = WorkQueue(min_gap_s=0.0)  # no events come in swarms here
        self._drivers = DriverServices(
            records=services.records,
            store=services.store,
            background=BackgroundTasks(self._queue.mark),
            webhook_owed=services.webhook_owed,
            metrics=services.metrics,
        )
        services.metrics.watch_queue(self._queue)
        self._attempts: dict[Key, _Attempt] = {}
        self._followed: set[Key] = set()
        self._strange: set[str] = set()
        self._woken = asyncio.Event()

    def wake(self, request_id: str) -> None:  # noqa: ARG002 - a Wake; the scan finds it
        """Look for new requests, and for changed ones, now."""
        self._woken.set()

    async def run(self) -> None:
        """Drive requests until cancelled; then every jobrunner is stopped before this returns."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._queue.run(self._advance))
                group.create_task(self._scan())
        finally:
            for attempt in self._attempts.values():
                attempt.driver.stop_background()
            await asyncio.gather(*(attempt.executor.stop() for attempt in self._attempts.values()))
            with contextlib.suppress(RecordsError):
                await self._with.records.leases.give_back(self._with.holder)

    async def _scan(self) -> None:
        while True:
            self._woken.clear()
            await self._look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SCAN_S):
                    await self._woken.wait()

    async def _look(self) -> None:
        """Take in what it holds leases on; look again at what it seems to hold none on any more."""
        try:
            store = await self._with.store.store_id()
            with self._with.records.writes.noted():
                found = await self._with.records.leases.take(self._with.holder, store, LEASE_S)
            held = [request for request in found if request.store == store]
            for request in found:
                if request.store != store and request.request_id not in self._strange:
                    await self._adopt(request)
        except UnavailableError as error:
            log.warning("no batches taken up", error=str(error))
            return
        for request in held:
            self._take_in(request)
        for key in self._attempts.keys() - {Key(NAMESPACE, request.request_id) for request in held}:
            self._attempts[key].driver.row.distrust()
            self._queue.mark(key)

    async def _adopt(self, request: Request) -> None:
        """See once whether it is this store's after all."""
        if await adopted(self._with.records, self._with.store, request) is not None:
            self._woken.set()
        self._strange.add(request.request_id)

    def _take_in(self, request: Request) -> None:
        """Drive what is new, and look again at what was changed."""
        key = Key(NAMESPACE, request.request_id)
        known = self._attempts.get(key)
        if known is None:
            executor = ProcessExecutor(self._with.shards, request, lambda: self._queue.mark(key))
            made = BatchDriver(self._drivers, executor, key, request)
            self._attempts[key] = _Attempt(request.attempt, made, executor)
        elif known.number == request.attempt and known.driver.row.request.spec != request.spec:
            known.driver.row.renew(request)
        else:
            if known.number != request.attempt:
                self._followed.add(key)
            return
        self._queue.mark(key)

    async def _advance(self, key: Key) -> float | None:
        """Take steps as long as one leads to the next at once."""
        attempt = self._attempts.get(key)
        if attempt is None:
            return None  # something that ended beside it marked it while its end was committed
        with structlog.contextvars.bound_contextvars(request_id=key.name):
            while True:
                if not attempt.driver.row.is_known and not await self._renew(attempt, key):
                    self._woken.set()  # for the other attempt, if that is why
                    break
                if attempt.driver.row.request.status != "pending":
                    break
                spec = attempt.driver.row.request.spec
                after_s = await attempt.driver.advance(spec)
                if after_s and attempt.driver.row.request.spec == spec:  # a write may bring a newer one
                    return after_s
            await self._forget(key)
            return None

    async def _renew(self, attempt: _Attempt, key: Key) -> bool:
        """Read the row again; False when it is gone, at another attempt, or another engine's."""
        found = await self._with.records.get(key.name)
        if found is None or found.attempt != attempt.number:
            return False
        if found.status == "pending" and found.lease_holder != self._with.holder:
            log.warning("another engine drives the batch", holder=found.lease_holder)
            return False
        attempt.driver.row.renew(found)
        return True

    async def _forget(self, key: Key) -> None:
        """Whatever still runs is stopped; a later attempt begins anew."""
        attempt = self._attempts[key]
        attempt.driver.stop_background()
        await attempt.executor.stop()
        del self._attempts[key]
        if key in self._followed:  # the next attempt began meanwhile, and was seen
            self._followed.discard(key)
            self._woken.set()
