"""The calls on the records, over a pool of connections."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from types import MappingProxyType
from typing import Any, NoReturn, TypeAlias

import asyncpg

from imagebatch.batch.lifecycle import Ending
from imagebatch.errors import (
    BeingRemovedError,
    ConflictError,
    FilesRemovedError,
    OutcomeUnknownError,
    RecordsError,
)
from imagebatch.records import statements
from imagebatch.records.deletions import Deletions
from imagebatch.records.deliveries import Deliveries
from imagebatch.records.failures import (
    FAILURES,
    Writes,
    errors_translated,
    in_words,
    is_refusal,
    translate_errors,
)
from imagebatch.records.leases import Leases
from imagebatch.records.models import Delivery, DeliveryState, NewRequest, Request, Result
from imagebatch.records.pool import TIMEOUT_S, opened
from imagebatch.records.retentions import Retentions
from imagebatch.records.row_mapping import request_of
from imagebatch.records.standings import Standings
from imagebatch.settings import DatabaseSettings

PoolConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"


class Records:
    """The records, over a pool of connections. Every call raises RecordsError when Postgres fails.

    A deleted request is there for `get_or_deleted` and for `deletions` alone.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self.deletions = Deletions(pool)
        self.deliveries = Deliveries(pool)
        self.leases = Leases(pool)
        self.retentions = Retentions(pool)
        self.standings = Standings(pool)
        self.writes = Writes()

    @translate_errors
    async def ping(self) -> None:
        """Raise RecordsError unless Postgres answers."""
        await self._pool.fetchval("SELECT 1")

    async def create(self, request: NewRequest) -> bool:
        """Record a request. False when there is one with its id already; of this upload or of another.

        Raises ConflictError when that is another owner's, OutcomeUnknownError when the answer was lost:
        then it may be recorded, and the same call may be made again. Any other RecordsError means that
        nothing was recorded.
        """
        with errors_translated():
            connection = await self._pool.acquire(timeout=TIMEOUT_S)
        try:
            return await _insert(connection, request)
        finally:
            with suppress(*FAILURES):
                await self._pool.release(connection, timeout=TIMEOUT_S)

    @translate_errors
    async def ensure(self, request: NewRequest) -> Request | None:
        """The row of a request, made if there is none: it may be another owner's.

        None when another program makes it at this moment: ask again.
        """
        found = await self._pool.fetchrow(statements.ENSURE, *_values(request))
        return request_of(found) if found is not None else None

    @translate_errors
    async def get(self, request_id: str) -> Request | None:
        found = await self._pool.fetchrow(statements.SELECT, request_id)
        return request_of(found) if found is not None else None

    @translate_errors
    async def get_or_deleted(self, request_id: str) -> Request | None:
        """A request, also a deleted one whose objects are not removed yet: it holds its id till then."""
        found = await self._pool.fetchrow(statements.SELECT_OR_DELETED, request_id)
        return request_of(found) if found is not None else None

    @translate_errors
    async def listed(
        self, uploaded_by: str | None, limit: int, *, after: Request | None = None, status: str | None = None
    ) -> list[Request]:
        """The newest requests that came with tokens of this name, for None without; older than `after`."""
        since = (after.created_at, after.request_id) if after is not None else (None, None)
        values = (uploaded_by or "", *since, limit)
        if status is None:
            found = await self._pool.fetch(statements.LIST, *values)
        else:
            found = await self._pool.fetch(statements.LIST_OF_STATUS, *values, status)
        return [request_of(each) for each in found]

    @translate_errors
    async def pending(self) -> list[Request]:
        """Every request that is not at its end, whoever drives it, oldest first."""
        return [request_of(found) for found in await self._pool.fetch(statements.SELECT_PENDING)]

    @translate_errors
    async def reopen(
        self, request_id: str, attempt: int, changes: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Begin a later attempt at a finished request, with changes of its spec; nothing changes where it has
        begun.

        The CSVs of the earlier one stay until replaced. Raises FilesRemovedError when what it needs is no
        longer kept.
        """
        done = await self._pool.execute(statements.UPDATE_REOPENED, request_id, attempt, dict(changes))
        if done == "UPDATE 0":
            found = await self._pool.fetchrow(statements.SELECT, request_id)
            if found is not None and found["attempt"] < attempt and found["status"] != "pending":
                _refuse_reopening(request_of(found))

    @translate_errors
    async def change_spec(self, request_id: str, changes: Mapping[str, Any]) -> Request | None:
        """Change top-level fields of a pending request's spec, such as `suspend` and `cancel`.

        Returns the row then; None when there is no such pending request.
        """
        found = await self._pool.fetchrow(statements.UPDATE_SPEC, request_id, dict(changes))
        return request_of(found) if found is not None else None

    @translate_errors
    async def reown(self, request_id: str, owner: str, new_owner: str) -> Request | None:
        """Give a pending request of `owner` to another. Returns the row then; None when there is none."""
        found = await self._pool.fetchrow(statements.REOWN, request_id, owner, new_owner)
        return request_of(found) if found is not None else None

    @translate_errors
    async def progress(self, request: Request) -> Request | None:
        """Record how far a pending request is, and why it waits: its phase, message, counts, failures,
        plan and suspension as they stand in `request`. Returns the row then; None when it is finished,
        gone, or another engine's.
        """
        counts, waiting = request.counts, request.waiting
        found = await self._pool.fetchrow(
            statements.UPDATE_PROGRESS,
            request.request_id,
            request.attempt,
            request.phase.value,
            request.message,
            counts.succeeded,
            counts.failed,
            counts.bytes_in,
            counts.bytes_out,
            waiting.reason if waiting else "",
            waiting.message if waiting else "",
            request.rows,
            counts.total,
            request.input_sha256,
            request.suspension.since,
            request.suspension.seconds,
            dict(request.errors_by_code),
            request.lease_holder,
            request.gain.images,
            request.gain.at_seconds,
        )
        return request_of(found) if found is not None else None

    @translate_errors
    async def finish(
        self, request: Request, ending: Ending, result: Result, body: str, webhook_id: str
    ) -> Request | None:
        """The terminal commit: the row's end and the outbox entry, both or neither. Returns the row then.

        None when somebody else was first; then nothing changed. `body` is what the webhook will say.
        """
        counts = result.counts
        found = await self._pool.fetchrow(
            statements.FINISH,
            request.request_id,
            request.attempt,
            ending.phase.status,
            ending.phase.value,
            ending.message,
            ending.error,
            counts and counts.total,
            counts and counts.succeeded,
            counts and counts.failed,
            counts and counts.skipped,
            counts and counts.bytes_in,
            counts and counts.bytes_out,
            dict(result.errors_by_code),
            result.output_key,
            result.errors_key,
            result.report_key,
            asdict(result.qualities),
            webhook_id,
            body,
            ending.reason,
            request.rows,
            request.input_sha256,
            request.lease_holder,
        )
        return request_of(found) if found is not None else None

    @translate_errors
    async def delete(self, request_id: str) -> None:
        """Forget a request and its deliveries; what it has on S3 stays."""
        await self._pool.execute(statements.DELETE, request_id)

    @translate_errors
    async def claim_deliveries(self, limit: int, lease_seconds: float) -> list[Delivery]:
        """Take due deliveries. One that is not settled or postponed within the lease is due again."""
        return [
            Delivery(**found)
            for found in await self._pool.fetch(statements.CLAIM_DELIVERIES, limit, lease_seconds)
        ]

    @translate_errors
    async def settle_delivery(self, webhook_id: str, *, delivered: bool, error: str = "") -> None:
        await self._pool.execute(
            statements.SETTLE_DELIVERY, webhook_id, "delivered" if delivered else "failed", error
        )

    @translate_errors
    async def postpone_delivery(self, webhook_id: str, seconds: float, error: str) -> None:
        await self._pool.execute(statements.POSTPONE_DELIVERY, webhook_id, seconds, error)

    @translate_errors
    async def next_delivery_seconds(self) -> float | None:
        """Seconds until a delivery is due, 0 when one is overdue; None when there is none."""
        found: float | None = await self._pool.fetchval(statements.NEXT_DELIVERY)
        return None if found is None else max(found, 0.0)

    @translate_errors
    async def delivery(self, request_id: str) -> DeliveryState | None:
        """How the newest delivery of a request stands; None when it has no webhook."""
        found = await self._pool.fetchrow(statements.SELECT_DELIVERY, request_id)
        return DeliveryState(**found) if found is not None else None


def _refuse_reopening(request: Request) -> NoReturn:
    since = request.removed.prevents_retry
    if since is None:
        raise BeingRemovedError(f"old results of {request.request_id} are being removed at this moment")
    raise FilesRemovedError(since)


async def _insert(connection: PoolConnection, request: NewRequest) -> bool:
    try:
        done = await connection.execute(statements.INSERT, *_values(request))
    except FAILURES as error:
        kind = RecordsError if is_refusal(error) else OutcomeUnknownError
        raise kind(in_words(error)) from error
    if done == "INSERT 0 1":
        return True
    with errors_translated():
        found = await connection.fetchrow(statements.SELECT_OR_DELETED, request.request_id)
    if found is not None and found["deleted_at"] is not None:
        raise ConflictError(f"request id {request.request_id} is that of a batch that is being deleted")
    if found is not None and found["owner"] != request.owner:
        raise ConflictError(f"request id {request.request_id} belongs to another owner")
    return False


def _values(request: NewRequest) -> tuple[Any, ...]:
    """The parameters of INSERT."""
    return (
        request.request_id,
        request.owner,
        dict(request.spec),
        request.input_sha256,
        request.rows,
        request.images,
        request.webhook_url,
        request.webhook_secret,
        request.attempt,
        request.uploaded_by,
        request.upload,
        request.store,
        request.object,
    )


@asynccontextmanager
async def connect(settings: DatabaseSettings) -> AsyncIterator[Records]:
    """Open the pool; closed at the end of the block. Raises RecordsError."""
    async with opened(settings) as pool:
        yield Records(pool)
