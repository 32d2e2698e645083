"""Removes what deleted batches left on S3, beside the API's other work, in each program that serves it. It
also removes tests of webhooks whose sender ended before it could.

A batch is gone for its users when its row is marked. Then go its ImageBatch object, if it has one, its
objects on S3, a page at a time, and the row last, so that whatever breaks off is found and begun again: by
another program when the claim's lease is over, or at the next start. It rests while nothing is deleted.
"""

import asyncio
from contextlib import suppress
from typing import NoReturn

import structlog

from imagebatch.batch.removal import LEASE_S, Held, remove
from imagebatch.batch.retention import Kind
from imagebatch.errors import UnavailableError
from imagebatch.records import Claim
from imagebatch.storage.async_store import AsyncStore
from imagebatch_api.services import Services

ALL = (Kind.OUTPUTS, Kind.IMAGES, Kind.WORKING_FILES)
TROUBLE_S = 30.0

log = structlog.get_logger()


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
        held = Held(self._deletions, claim)
        async with held.at_work("the deleted batch"):
            if not await self._with.control.remove(claim.request):
                await held.put_off()
                return
            await remove(self._store, held, ALL)
            await self._deletions.finish(held.claim)
            log.info("deleted batch removed", request_id=claim.request.request_id)
