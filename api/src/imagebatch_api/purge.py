"""Removes what deleted batches left on S3, beside the API's other work, in each program that serves it. It
also removes tests of webhooks whose sender ended before it could.

A batch is gone for its users when its row is marked. Then go its ImageBatch object, if it has one, its
objects on S3, a page at a time, and the row last, so that whatever breaks off is found and begun again: by
another program when the claim's lease is over, or at the next start. It rests while nothing is deleted.
"""

import asyncio
from contextlib import suppress
from functools import partial
from itertools import islice
from typing import NoReturn

import anyio
import structlog

from imagebatch.errors import RecordsError, UnavailableError
from imagebatch.records import Claim
from imagebatch.records.deletions import Deletions
from imagebatch.storage import keys
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.store import ObjectStore
from imagebatch_api.services import Services

LEASE_S = 300.0
"""No page takes so long, with all that S3's client tries again. After it the batch's id may be free, and an
upload with the same Idempotency-Key may write what a page would remove: so a claim is extended before each.
"""

LAST_CALL_S = 30.0
"""A program that is stopped ends within it, and with it the call to S3 that is under way."""

PAGE = 1000
"""The objects that one request to S3 lists, and one deletes."""

TROUBLE_S = 30.0
FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 300.0

log = structlog.get_logger()


class LostClaimError(Exception):
    """Another program removes the batch by now."""


class Purge:
    """Removes deleted batches, one after the other.

    `is_alone` says that no other program does, so that nobody's lease is waited for at the start.
    """

    def __init__(self, services: Services, *, is_alone: bool = False) -> None:
        self._with = services
        self._is_alone = is_alone
        self._has_begun = False
        self._deletions = services.records.deletions
        self._store = AsyncStore(services.store)

    async def run(self) -> NoReturn:
        """Remove what is deleted, until cancelled."""
        while True:
            self._with.deleted.clear()
            wait_s = await self._remove_all()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._with.deleted.wait()

    async def _remove_all(self) -> float | None:
        """Remove what can be removed now; returns after how long there is more, None when nothing is left."""
        try:
            await self._with.records.deliveries.forget_tests()
            store = await self._store.store_id()
            if self._is_alone and not self._has_begun:
                await self._deletions.release_all(store)
            self._has_begun = True
            while (claim := await self._deletions.claim(LEASE_S, store)) is not None:
                await self._remove(claim)
            return await self._deletions.next_seconds(store)
        except UnavailableError as error:
            log.warning("deleted batches are not removed yet", error=str(error))
            return TROUBLE_S

    async def _remove(self, claim: Claim) -> None:
        held, request_id = _Held(self._deletions, claim), claim.request.request_id
        try:
            if not await self._with.control.remove(claim.request):
                return await held.put_off()
            await self._remove_files(held)
            await self._deletions.finish(held.claim)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True), suppress(RecordsError):
                await held.give_back()
            raise
        except LostClaimError:
            log.info("another program removes the deleted batch", request_id=request_id)
        except UnavailableError as error:
            log.warning("a deleted batch is not removed yet", request_id=request_id, error=str(error))
            await held.put_off()
        except Exception:
            log.exception("a deleted batch is not removed, by a defect", request_id=request_id)
            await held.put_off()
        else:
            log.info("deleted batch removed", request_id=request_id)

    async def _remove_files(self, held: "_Held") -> None:
        """Remove all objects, a page at a time. Raises StoreError, RecordsError, LostClaimError."""
        request_id = held.claim.request.request_id
        of_csvs = [keys.output(request_id), keys.errors(request_id), keys.image_report(request_id)]
        await self._store.run(lambda store: store.delete(of_csvs))
        for prefix in (keys.image_prefix(request_id), keys.batch_prefix(request_id)):
            while page := await self._store.run(partial(_page, prefix=prefix)):
                await held.extend()
                await self._store.run(partial(_delete, page=page))


class _Held:
    """A claim that is held: extended before each page, or given back."""

    def __init__(self, deletions: Deletions, claim: Claim) -> None:
        self._deletions = deletions
        self.claim = claim

    async def extend(self) -> None:
        """Raises LostClaimError when another program holds the claim by now."""
        extended = await self._deletions.extend(self.claim, LEASE_S)
        if extended is None:
            raise LostClaimError
        self.claim = extended

    async def give_back(self) -> None:
        """Let another take it soon."""
        await self._deletions.extend(self.claim, LAST_CALL_S)

    async def put_off(self) -> None:
        """Let nobody take it for a while, which grows with the time since the batch was deleted."""
        age_s = (self.claim.until - self.claim.deleted_at).total_seconds() - LEASE_S
        await self._deletions.extend(self.claim, min(max(age_s / 4, FIRST_PAUSE_S), MAX_PAUSE_S))


def _page(store: ObjectStore, prefix: str) -> list[str]:
    return [stored.key for stored in islice(store.list(prefix), PAGE)]


def _delete(store: ObjectStore, page: list[str]) -> None:
    store.delete(page)
