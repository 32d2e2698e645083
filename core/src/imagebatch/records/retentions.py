"""What of finished requests goes because its days are over, and the sweeps for what belongs to none.

A kind of files is gone for everybody when its claim marks the row; then its objects are removed, and the
claim ends. `imagebatch.batch.collector` and `imagebatch.batch.sweep` do that.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import asyncpg

from imagebatch.batch.retention import Kind, Policy
from imagebatch.errors import RecordsError
from imagebatch.records import retention_statements as statements
from imagebatch.records.failures import translate_errors
from imagebatch.records.models import Claim, Request
from imagebatch.records.row_mapping import request_of

PAGE = 500
_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_KINDS = (Kind.UNNAMED_IMAGES, Kind.WORKING_FILES, Kind.OUTPUTS, Kind.IMAGES)
"""Which images a CSV names is read from a CSV, so that comes before the CSVs go."""


@dataclass(frozen=True, slots=True)
class Due:
    """A finished request, and the kinds of its files that are to go."""

    request: Request
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class DueClaim(Claim):
    """The right to remove these kinds."""

    kinds: tuple[Kind, ...] = ()


@dataclass(frozen=True, slots=True)
class Sweep:
    """What the database knows of itself and of the sweeps for orphans; `until` is when its claim is over.

    `server` tells the Postgres server from one that was restored, where it may be asked for that.
    """

    database: str
    number: int
    knows_since: datetime
    has_rows: bool
    server: str
    until: datetime


class Retentions:
    """The calls. Each raises RecordsError when Postgres fails."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @translate_errors
    async def next_seconds(self, policy: Policy, store: str) -> float | None:
        """Seconds until something of this store is due, 0 when it is now; None for never."""
        days = [policy.default_days(kind) for kind in Kind]
        found: float | None = await self._pool.fetchval(statements.NEXT, *days, store)
        return None if found is None else max(found, 0.0)

    @translate_errors
    async def claim(self, policy: Policy, store: str, lease_seconds: float) -> DueClaim | None:
        """Claim a request that has something due on this store, or that another program left; None when there
        is none.

        From then on the kinds are gone for every reader, and the request can't begin another attempt.
        """
        left = await self._pool.fetchrow(statements.CLAIM_LEFT, lease_seconds, store)
        if left is not None:
            return _claim(left, _begun(left))
        for kind, due, days in _rules(policy):
            found = await self._pool.fetchrow(statements.claim_due(kind, due), lease_seconds, days, store)
            if found is not None:
                return _claim(found, (kind,))
        return None

    @translate_errors
    async def extend(self, claim: Claim, lease_seconds: float) -> Claim | None:
        """Let the claim last so long from now; None when another holds it, or the request is deleted."""
        until = await self._pool.fetchval(
            statements.EXTEND, claim.request.request_id, claim.until, lease_seconds
        )
        return replace(claim, until=until) if until is not None else None

    @translate_errors
    async def finish(self, claim: Claim, kinds: tuple[Kind, ...]) -> None:
        """Nothing is left of these kinds; does nothing when another program holds the claim."""
        is_tidy = Kind.UNNAMED_IMAGES in kinds
        await self._pool.execute(statements.FINISH_CLAIM, claim.request.request_id, claim.until, is_tidy)

    @translate_errors
    async def release_all(self) -> None:
        """Release the claims of programs that no longer run; only for one that knows that it is alone."""
        await self._pool.execute(statements.RELEASE)
        await self._pool.execute(statements.RELEASE_SWEEP)

    async def due(self, policy: Policy, store: str) -> AsyncIterator[Due]:
        """All that `claim` would give, one after the other, claimed by nobody."""
        for left in await self._page(statements.SELECT_LEFT, store):
            yield Due(request_of(left), _begun(left))
        for kind, due, days in _rules(policy):
            behind = (_BEFORE_ALL, "")
            while page := await self._page(statements.select_due(due), PAGE, days, store, *behind):
                for found in page:
                    yield Due(request_of(found), (kind,))
                behind = (page[-1]["finished_at"], page[-1]["request_id"])

    @translate_errors
    async def _page(self, statement: str, *values: object) -> list["asyncpg.Record"]:
        found: list[asyncpg.Record] = await self._pool.fetch(statement, *values)
        return found

    @translate_errors
    async def keep(self, request_id: str, days: Mapping[str, float]) -> Request | None:
        """Change a request's own days; None when there is no such request."""
        found = await self._pool.fetchrow(statements.KEEP_DAYS, request_id, dict(days))
        return request_of(found) if found is not None else None

    # -- sweeps --------------------------------------------------------------------------------------

    @translate_errors
    async def sweep(self) -> Sweep:
        """How the sweeps stand, without a claim."""
        found = await self._pool.fetchrow(statements.SELECT_SWEEP)
        if found is None:
            raise RecordsError("Postgres: object_sweeps has lost its row")
        return _sweep(found, await self._server())

    @translate_errors
    async def claim_sweep(self, lease_seconds: float, pause_seconds: float) -> Sweep | None:
        """Claim the next sweep; None while another program sweeps, or for so long after the last one."""
        found = await self._pool.fetchrow(statements.CLAIM_SWEEP, lease_seconds, pause_seconds)
        return None if found is None else _sweep(found, await self._server())

    @translate_errors
    async def extend_sweep(self, sweep: Sweep, lease_seconds: float) -> Sweep | None:
        until = await self._pool.fetchval(statements.EXTEND_SWEEP, sweep.until, lease_seconds)
        return replace(sweep, until=until) if until is not None else None

    @translate_errors
    async def finish_sweep(self, sweep: Sweep, *, counts: bool) -> int | None:
        """End the sweep, and count it; returns the number, None when another program holds the claim."""
        found: int | None = await self._pool.fetchval(statements.FINISH_SWEEP, sweep.until, int(counts))
        return found

    @translate_errors
    async def known_ids(self, request_ids: list[str]) -> set[str]:
        """Those of the ids that are some request's; also a deleted one's."""
        return {each[0] for each in await self._pool.fetch(statements.KNOWN_IDS, request_ids)}

    @translate_errors
    async def known_folders(self, folders: list[str]) -> set[str]:
        """Those of the names of image folders (`keys.image_folder`) that are some request's."""
        return {each[0] for each in await self._pool.fetch(statements.KNOWN_FOLDERS, folders)}

    async def _server(self) -> str:
        try:
            found: str = await self._pool.fetchval(statements.SERVER)
        except asyncpg.InsufficientPrivilegeError:
            return ""
        return found


def _rules(policy: Policy) -> list[tuple[Kind, tuple[str, str], float]]:
    """What may be due, with the SQL that finds it and the default's days."""
    found = []
    for kind in FIRST_KINDS:
        if (days := policy.default_days(kind)) > 0:
            found.append((kind, statements.DUE_BY_DEFAULT[kind], days))
        if kind in statements.DUE_BY_OWN:
            found.append((kind, statements.DUE_BY_OWN[kind], days))
    return found


def _begun(left: "asyncpg.Record") -> tuple[Kind, ...]:
    """What a program that broke off may have been removing."""
    unnamed = (Kind.UNNAMED_IMAGES,) if left["has_unnamed_images"] else ()
    return (*unnamed, *(kind for kind, column in statements.COLUMNS.items() if left[column] is not None))


def _claim(found: "asyncpg.Record", kinds: tuple[Kind, ...]) -> DueClaim:
    marks = (found[statements.COLUMNS[kind]] for kind in kinds if kind in statements.COLUMNS)
    return DueClaim(request_of(found), max(marks, default=found["finished_at"]), found["collect_at"], kinds)


def _sweep(found: "asyncpg.Record", server: str) -> Sweep:
    return Sweep(
        found["database"],
        found["number"],
        found["knows_since"],
        found["has_rows"],
        server,
        found["held_until"],
    )
