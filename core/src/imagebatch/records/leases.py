"""Leases of pending requests: each is driven by one engine at a time, which has the store of its objects.

Several engines may share one Postgres. One drives what it holds a lease on and extends it; what it writes
after another took its place changes nothing (`statements.UPDATE_PROGRESS`, `FINISH`). Postgres's clock
counts. Requests of ImageBatch objects have no leases: their operator drives them, their Jobs exist once.
"""

import asyncpg

from imagebatch.errors import OtherStoreError
from imagebatch.records import statements
from imagebatch.records.failures import translate_errors
from imagebatch.records.models import API_OWNER, Request
from imagebatch.records.row_mapping import request_of


class Leases:
    """The calls. Each raises RecordsError when Postgres fails."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @translate_errors
    async def take(self, holder: str, store: str, seconds: float) -> list[Request]:
        """Lease what nobody drives, extend what `holder` has; returns all that it holds, oldest first.

        Requests whose objects are on another store than `store` are left to an engine that has that one;
        while there is none they say so, and are returned, too.
        """
        strange = OtherStoreError()
        found = await self._pool.fetch(
            statements.TAKE_LEASES, holder, store, seconds, str(strange), API_OWNER, strange.reason
        )
        return [request_of(each) for each in found]

    @translate_errors
    async def adopt(self, request: Request, store: str) -> Request | None:
        """Put a pending request on another store than its row says; None when the row has changed."""
        found = await self._pool.fetchrow(statements.ADOPT, request.request_id, request.store, store)
        return request_of(found) if found is not None else None

    @translate_errors
    async def give_back(self, holder: str) -> None:
        """Let others have at once what `holder` has leased."""
        await self._pool.execute(statements.RETURN_LEASES, holder)
