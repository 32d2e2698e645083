"""Removes what is no longer kept, beside a program's other work: the operator and the local system run it.

A batch's files of a kind go when its days are over: the claim marks the row, so that they are gone for every
reader and another attempt is refused; then go the objects, a page at a time; then the claim. Whatever breaks
off is found and begun again. While nothing is due it costs one statement an hour.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import NoReturn

import structlog

from imagebatch.batch.removal import LEASE_S, Count, Held, measure, remove, uncounted
from imagebatch.batch.retention import Amount, Kind, Policy
from imagebatch.batch.sweep import Sweeper
from imagebatch.errors import UnavailableError
from imagebatch.records import Records, Request
from imagebatch.storage.async_store import AsyncStore

LOOK_S = 3600.0
"""A batch that ends meanwhile is found so late; nothing is ever removed too early."""

PAUSE_S = 10.0
"""What is due and can't be claimed is held by another program, or was put off."""

TROUBLE_S = 30.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Collected:
    """What went of a batch, or would go."""

    request_id: str
    kind: Kind
    amount: Amount


def unseen(_request: Request) -> None:
    """Where nobody has to hear of a batch whose files went."""


class Collector:
    """Removes what is due. `seen` hears of each request whose row says that files are gone.

    `is_alone` says that no other program does so, and that nobody's lease is waited for at the start.
    `put_off` counts the batches that could not be removed at once.
    """

    def __init__(
        self,
        records: Records,
        store: AsyncStore,
        policy: Policy,
        sweeper: Sweeper,
        *,
        count: Count = uncounted,
        seen: Callable[[Request], None] = unseen,
        is_alone: bool = False,
    ) -> None:
        self._retentions = records.retentions
        self._store = store
        self._policy = policy
        self._sweeper = sweeper
        self._count = count
        self._seen = seen
        self._has_to_release = is_alone
        self._is_registered = False
        self.put_off = 0

    async def run(self) -> NoReturn:
        """Remove what is due, whenever it is, until cancelled."""
        pause_s = 0.0
        while True:
            await asyncio.sleep(pause_s)
            pause_s = await self._look()

    async def _look(self) -> float:
        """Remove what is due now; returns in how many seconds to look again."""
        try:
            if self._has_to_release:
                await self._retentions.release_all()
                self._has_to_release = False
            if not self._is_registered:
                await self._sweeper.register()
                self._is_registered = True
            store = await self._store.store_id()
            due_s = await self._retentions.next_seconds(self._policy, store)
            if due_s == 0:
                async for _ in self.collect():
                    pass
                await self._sweeper.sweep_if_due()
                due_s = await self._retentions.next_seconds(self._policy, store)
        except UnavailableError as error:
            log.warning("what is no longer kept stays for now", error=str(error))
            return TROUBLE_S
        except Exception:
            log.exception("what is no longer kept stays, by a defect")
            return LOOK_S
        return LOOK_S if due_s is None else min(max(due_s, PAUSE_S), LOOK_S)

    async def collect(self) -> AsyncIterator[Collected]:
        """Remove all that is due on this store, and say what went. Raises RecordsError, and StoreError at its
        begin; what S3 refuses later ends it early.
        """
        store = await self._store.store_id()
        while (claim := await self._retentions.claim(self._policy, store, LEASE_S)) is not None:
            self._seen(claim.request)
            held = Held(self._retentions, claim)
            async with held.at_work("what is no longer kept"):
                for kind in claim.kinds:
                    amount = await remove(self._store, held, [kind], self._count)
                    _log(claim.request, kind, amount)
                    yield Collected(claim.request.request_id, kind, amount)
                await self._retentions.finish(held.claim, claim.kinds)
            if held.is_put_off:
                self.put_off += 1
                return

    async def survey(self) -> AsyncIterator[Collected]:
        """What `collect` would remove. Raises RecordsError, StoreError."""
        counted: dict[str, Amount] = {}
        async for due in self._retentions.due(self._policy, await self._store.store_id()):
            for kind in due.kinds:
                request_id = due.request.request_id
                amount = await measure(self._store, due.request, kind)
                if kind is Kind.UNNAMED_IMAGES:
                    counted[request_id] = amount
                elif kind is Kind.IMAGES:  # without those that went as unnamed ones before
                    amount = amount.without(counted.pop(request_id, Amount()))
                yield Collected(request_id, kind, amount)


def _log(request: Request, kind: Kind, amount: Amount) -> None:
    log.info(
        "no longer kept, and removed",
        request_id=request.request_id,
        kind=kind.value,
        objects=amount.objects,
        bytes=amount.bytes,
    )
