"""Watches batches for those who follow their events: one look a second at a batch, however many watch it."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import structlog

from imagebatch.errors import UnavailableError
from imagebatch.records import Request
from imagebatch_api.problems import RefusedError
from imagebatch_api.services import Services
from imagebatch_api.upload_bounds import BUSY_RETRY_S

LOOK_S = 1.0

log = structlog.get_logger()


@dataclass(slots=True)
class _Watch:
    """One batch that is watched. `number` grows with each look; `is_over` when there will be no more."""

    watchers: int = 0
    number: int = 0
    latest: Request | None = None
    is_over: bool = False
    task: "asyncio.Task[None] | None" = None
    _looked: asyncio.Event = field(default_factory=asyncio.Event)

    def show(self, found: Request | None, *, is_over: bool = False) -> None:
        self.latest, self.is_over = found, is_over
        self.number += 1
        looked, self._looked = self._looked, asyncio.Event()
        looked.set()

    async def after(self, number: int) -> int:
        """The number of the newest look, once it is later than `number`."""
        while self.number == number:
            await self._looked.wait()
        return self.number


class Watchers:
    """Those who watch, at most `limit` of them."""

    def __init__(self, services: Services, limit: int) -> None:
        self._with = services
        self._limit = limit
        self._count = 0
        self._watches: dict[str, _Watch] = {}

    def check_room(self) -> None:
        """Raise RefusedError when there may be no more."""
        if self._count >= self._limit:
            message = f"{self._count} batches are being watched, and there may be no more; ask GET /status"
            raise RefusedError(429, "too_many_watchers", message, retry_after_s=BUSY_RETRY_S)

    @contextmanager
    def room(self) -> Iterator[None]:
        """The room of one who watches."""
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    async def follow(self, found: Request) -> AsyncGenerator[Request, None]:
        """The batch as it is, then at each look, until its end, its deletion, or the server's stop."""
        yield found
        if found.status != "pending":
            return
        with self._watch(found.request_id) as watch:
            number = 0
            while not watch.is_over:
                number = await watch.after(number)
                if watch.latest is not None:
                    yield watch.latest

    @contextmanager
    def _watch(self, request_id: str) -> Iterator[_Watch]:
        """The watch over a batch, begun by the first watcher and ended by the last."""
        watch = self._watches.get(request_id)
        if watch is None or watch.is_over:
            watch = self._watches[request_id] = _Watch()
            watch.task = asyncio.create_task(self._look(request_id, watch))
        watch.watchers += 1
        try:
            yield watch
        finally:
            watch.watchers -= 1
            if not watch.watchers:
                self._forget(request_id, watch)

    def _forget(self, request_id: str, watch: _Watch) -> None:
        assert watch.task is not None
        watch.task.cancel()
        if self._watches.get(request_id) is watch:
            del self._watches[request_id]

    async def _look(self, request_id: str, watch: _Watch) -> None:
        while not watch.is_over:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._with.stopping.wait()
                watch.show(None, is_over=True)
                return
            try:
                found = await self._with.find(request_id)
            except UnavailableError as error:
                log.warning("a batch can't be watched now", request_id=request_id, error=str(error))
                continue
            except Exception:
                log.exception("a batch is watched no more", request_id=request_id)
                found = None  # so nobody waits for ever
            watch.show(found, is_over=found is None or found.status != "pending")
