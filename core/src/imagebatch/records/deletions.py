"""Deleted requests, until their objects on S3 are removed too.

The row stays meanwhile and holds its id: an upload with the same Idempotency-Key would write under the keys
that are being removed. `imagebatch_api.purge` removes them; what of a batch goes earlier: `retentions`.
"""

from dataclasses import replace

import asyncpg

from imagebatch.records import statements
from imagebatch.records.failures import translate_errors
from imagebatch.records.models import Claim
from imagebatch.records.row_mapping import request_of


class Deletions:
    """The calls. Each raises RecordsError when Postgres fails."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @translate_errors
    async def mark(self, request_id: str) -> bool:
        """Delete a finished request for every reader, with its deliveries; False when there is none."""
        return bool(await self._pool.fetchval(statements.MARK_DELETED, request_id))

    @translate_errors
    async def claim(self, lease_seconds: float, store: str) -> Claim | None:
        """Claim a deleted request of this store that nobody holds. When the lease is over, another program
        may claim it.
        """
        found = await self._pool.fetchrow(statements.CLAIM_DELETED, lease_seconds, store)
        if found is None:
            return None
        return Claim(request_of(found), found["deleted_at"], found["purge_at"])

    @translate_errors
    async def release_all(self, store: str) -> None:
        """Release the claims of programs that no longer run; only for one that knows that it is alone."""
        await self._pool.execute(statements.RELEASE_CLAIMS, store)

    @translate_errors
    async def extend(self, claim: Claim, lease_seconds: float) -> Claim | None:
        """Let the claim last so long from now; None when another holds it. A short lease gives it back."""
        until = await self._pool.fetchval(
            statements.EXTEND_CLAIM, claim.request.request_id, claim.until, lease_seconds
        )
        return replace(claim, until=until) if until is not None else None

    @translate_errors
    async def finish(self, claim: Claim) -> None:
        """Remove the row, for nothing else is left; does nothing when another program holds the claim."""
        await self._pool.execute(statements.DELETE_CLAIMED, claim.request.request_id, claim.until)

    @translate_errors
    async def next_seconds(self, store: str) -> float | None:
        """Seconds until one can be claimed, 0 when it can be now; None when there is none."""
        found: float | None = await self._pool.fetchval(statements.NEXT_DELETED, store)
        return None if found is None else max(found, 0.0)
