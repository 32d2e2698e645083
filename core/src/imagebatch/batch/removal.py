"""Removes what a request left on S3, a page at a time, for whoever holds the claim of it.

The API's purge of deleted batches and the collector of what is no longer kept share it: both mark the row
first, so that nobody reads what goes, and extend their claim before each page.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import islice
from typing import Protocol

import anyio
import structlog

from imagebatch.batch.named_images import named_images, stem_of
from imagebatch.batch.retention import Amount, Kind
from imagebatch.errors import RecordsError, UnavailableError
from imagebatch.records import Claim, Request
from imagebatch.storage import keys
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.store import ObjectStore, Stored

LEASE_S = 300.0
"""No page takes so long, with all that S3's client tries again. After it the request's id may be free, or it
may begin another attempt, which would write what a page removes: so a claim is extended before each.
"""

LAST_CALL_S = 30.0
"""A program that is stopped ends within it, and with it the call to S3 that is under way."""

PAGE = 1000
"""The objects that one request to S3 lists, and one deletes."""

FIRST_PAUSE_S = 1.0
MAX_PAUSE_S = 300.0

log = structlog.get_logger()

Count = Callable[[str, Amount], None]
"""Counts what was removed, by its kind."""


def uncounted(_kind: str, _amount: Amount) -> None:
    """A `Count` where nobody looks at the numbers."""


class LostClaimError(Exception):
    """Another program removes it by now."""


class Claims(Protocol):
    """Who gives claims: `records.deletions` or `records.retentions`."""

    def extend(self, claim: Claim, lease_seconds: float) -> Awaitable[Claim | None]: ...


class Held:
    """A claim that is held: extended before each page, or given back, or put off."""

    def __init__(self, claims: Claims, claim: Claim) -> None:
        self._claims = claims
        self.claim = claim
        self.is_put_off = False

    @asynccontextmanager
    async def at_work(self, what: str) -> AsyncIterator[None]:
        """What breaks the block off lets another program, or a later try, go on: it is logged, not raised."""
        request_id = self.claim.request.request_id
        try:
            yield
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True), suppress(RecordsError):
                await self._give_back()
            raise
        except LostClaimError:
            log.info("another program removes it by now", what=what, request_id=request_id)
        except UnavailableError as error:
            log.warning("can't be removed yet", what=what, request_id=request_id, error=str(error))
            await self.put_off()
        except Exception:
            log.exception("can't be removed, by a defect", what=what, request_id=request_id)
            await self.put_off()

    async def extend(self) -> None:
        """Raises LostClaimError when another program holds the claim by now."""
        extended = await self._claims.extend(self.claim, LEASE_S)
        if extended is None:
            raise LostClaimError
        self.claim = extended

    async def _give_back(self) -> None:
        """Let another take it soon."""
        await self._claims.extend(self.claim, LAST_CALL_S)

    async def put_off(self) -> None:
        """Let nobody take it for a while, which grows with the time since it should have gone."""
        self.is_put_off = True
        age_s = (self.claim.until - self.claim.since).total_seconds() - LEASE_S
        await self._claims.extend(self.claim, min(max(age_s / 4, FIRST_PAUSE_S), MAX_PAUSE_S))


async def remove(store: AsyncStore, held: Held, kinds: Iterable[Kind], count: Count = uncounted) -> Amount:
    """Remove these kinds of a request's files. Raises StoreError, RecordsError, LostClaimError."""
    removed, request = Amount(), held.claim.request
    for kind in kinds:
        async for page in _pages(store, request, kind):
            await held.extend()
            await store.run(partial(_delete, page=page))
            count(kind, amount := amount_of(page))
            removed += amount
        await held.extend()
        await store.run(partial(_end_uploads, request_id=request.request_id, kind=kind))
    return removed


async def measure(store: AsyncStore, request: Request, kind: Kind) -> Amount:
    """How much `remove` would remove. Raises StoreError."""
    found = Amount()
    async for page in _pages(store, request, kind):
        found += amount_of(page)
    return found


def amount_of(page: Sequence[Stored]) -> Amount:
    return Amount(len(page), sum(stored.size for stored in page))


async def pages_of(store: AsyncStore, prefix: str) -> AsyncIterator[list[Stored]]:
    """The objects under a prefix, a page a request; those of a page may be deleted meanwhile."""
    objects = store.blocking.list(prefix)
    while page := await store.run(lambda _: list(islice(objects, PAGE))):
        yield page


async def _pages(store: AsyncStore, request: Request, kind: Kind) -> AsyncIterator[list[Stored]]:
    if kind is Kind.OUTPUTS:
        found = await store.run(partial(_heads, names=_csvs(request.request_id)))
        if found:
            yield found
    elif kind is Kind.UNNAMED_IMAGES:
        async for page in _unnamed(store, request):
            yield page
    else:
        async for page in pages_of(store, _prefix(request.request_id, kind)):
            yield page


async def _unnamed(store: AsyncStore, request: Request) -> AsyncIterator[list[Stored]]:
    """The images that no CSV names; none where it is not known which are named."""
    named = await asyncio.to_thread(named_images, store.blocking, request)
    if named is None:
        return
    async for page in pages_of(store, keys.image_prefix(request.request_id)):
        if unnamed := [stored for stored in page if stem_of(stored.key) not in named]:
            yield unnamed


def _prefix(request_id: str, kind: Kind) -> str:
    if kind is Kind.OUTPUTS:
        return f"{keys.CSV_FILES}{request_id}_"
    return keys.batch_prefix(request_id) if kind is Kind.WORKING_FILES else keys.image_prefix(request_id)


def _csvs(request_id: str) -> list[str]:
    return [keys.output(request_id), keys.errors(request_id), keys.image_report(request_id)]


def _heads(store: ObjectStore, names: list[str]) -> list[Stored]:
    return [found for found in map(store.head, names) if found is not None]


def _delete(store: ObjectStore, page: list[Stored]) -> None:
    store.delete([stored.key for stored in page])


def _end_uploads(store: ObjectStore, request_id: str, kind: Kind) -> None:
    """End what was never finished of the request: nobody writes it any more."""
    for upload in list(store.unfinished(_prefix(request_id, kind))):
        if kind is not Kind.OUTPUTS or upload.key in _csvs(request_id):
            store.end(upload)
