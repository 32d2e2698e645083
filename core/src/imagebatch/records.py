"""The records in Postgres: one row a request, and the webhook outbox. Direct SQL, all of it here.

The row outlives the ImageBatch object and answers GET /status. Its terminal commit and the webhook's
outbox entry are one transaction, so that exactly one delivery exists however many programs finish a batch.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import wraps
from typing import Any, ParamSpec, TypeAlias, TypeVar

import asyncpg

from imagebatch.errors import ConflictError, OutcomeUnknownError, RecordsError
from imagebatch.lifecycle import Ending, Phase, Waiting
from imagebatch.outcome import Counts, Qualities
from imagebatch.settings import DatabaseSettings

PoolConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

TIMEOUT_S = 30.0

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """A request to be recorded. `owner` is the uid of its object, or `api` where there is none.

    `upload` names its input on S3 (`keys.InputKeys`). `uploaded_by` is the name of the token it came with:
    nobody else may read it through the API.
    """

    request_id: str
    owner: str = "api"
    attempt: int = 1
    spec: Mapping[str, Any] = field(default_factory=dict)
    input_sha256: str = ""
    rows: int = 0
    images: int = 0
    webhook_url: str | None = None
    webhook_secret: str = ""
    uploaded_by: str | None = None
    upload: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A recorded request. `waiting` says why nothing moves, None while it does; `reason` is that of the
    waiting or, at its end, of its not being complete.
    """

    request_id: str
    owner: str
    attempt: int
    status: str
    phase: Phase
    message: str
    error: str | None
    spec: Mapping[str, Any]
    input_sha256: str
    rows: int
    counts: Counts
    errors_by_code: Mapping[str, int]
    output_key: str | None
    errors_key: str | None
    report_key: str | None = None
    qualities: Qualities = Qualities()
    webhook_url: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    uploaded_by: str | None = None
    upload: str = ""
    reason: str = ""
    waiting: Waiting | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a terminal commit records beside the ending."""

    counts: Counts | None = None
    errors_by_code: Mapping[str, int] = field(default_factory=dict)
    output_key: str | None = None
    errors_key: str | None = None
    report_key: str | None = None
    qualities: Qualities = Qualities()


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook to be sent. `secret` says where its signing secret is; `tries` counts those made before."""

    webhook_id: str
    request_id: str
    attempt: int
    url: str
    secret: str
    body: str
    tries: int


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """How a delivery stands: pending, delivered or failed, and why its last try failed."""

    state: str
    tries: int
    last_error: str


INSERT = """
INSERT INTO processing_requests
    (request_id, owner, spec, input_sha256, rows, images, webhook_url, webhook_secret, attempt, uploaded_by,
     upload)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (request_id) DO NOTHING
"""
SELECT = "SELECT * FROM processing_requests WHERE request_id = $1"
SELECT_PENDING = "SELECT * FROM processing_requests WHERE status = 'pending' ORDER BY created_at"
UPDATE_PLANNED = """
UPDATE processing_requests SET rows = $3, images = $4, input_sha256 = $5
WHERE request_id = $1 AND attempt = $2 AND status = 'pending'
"""
UPDATE_REOPENED = """
UPDATE processing_requests
SET attempt = $2, status = 'pending', phase = 'Pending', message = '', error = NULL, images_succeeded = 0,
    images_failed = 0, images_skipped = 0, bytes_in = 0, bytes_out = 0, errors_by_code = '{}',
    reason = '', waiting_message = '', started_at = NULL, finished_at = NULL
WHERE request_id = $1 AND attempt < $2 AND status <> 'pending'
"""
UPDATE_PROGRESS = """
UPDATE processing_requests
SET phase = $3, message = $4, images_succeeded = $5, images_failed = $6, bytes_in = $7, bytes_out = $8,
    reason = $9, waiting_message = $10,
    started_at = coalesce(started_at, now())
WHERE request_id = $1 AND attempt = $2 AND status = 'pending'
"""
FINISH = """
WITH ended AS (
    UPDATE processing_requests
    SET status = $3, phase = $4, message = $5, error = $6,
        images = coalesce($7, images), images_succeeded = coalesce($8, images_succeeded),
        images_failed = coalesce($9, images_failed), images_skipped = coalesce($10, images_skipped),
        bytes_in = coalesce($11, bytes_in), bytes_out = coalesce($12, bytes_out),
        errors_by_code = $13, output_key = $14, errors_key = $15, report_key = $16, qualities = $17,
        reason = $20, waiting_message = '',
        started_at = coalesce(started_at, now()), finished_at = now()
    WHERE request_id = $1 AND attempt = $2 AND status = 'pending'
    RETURNING request_id, attempt, webhook_url, webhook_secret
), promised AS (
    INSERT INTO webhook_deliveries (webhook_id, request_id, attempt, url, secret, body)
    SELECT $18, request_id, attempt, webhook_url, webhook_secret, $19 FROM ended WHERE webhook_url <> ''
    ON CONFLICT (request_id, attempt) DO NOTHING
)
SELECT count(*) FROM ended
"""
CLAIM_DELIVERIES = """
UPDATE webhook_deliveries
SET tries = tries + 1, due_at = now() + make_interval(secs => $2)
WHERE webhook_id IN (
    SELECT webhook_id FROM webhook_deliveries
    WHERE state = 'pending' AND due_at <= now()
    ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED
)
RETURNING webhook_id, request_id, attempt, url, secret, body, tries - 1 AS tries
"""
SETTLE_DELIVERY = """
UPDATE webhook_deliveries
SET state = $2, last_error = $3, finished_at = now()
WHERE webhook_id = $1 AND state = 'pending'
"""
POSTPONE_DELIVERY = """
UPDATE webhook_deliveries
SET last_error = $3, due_at = now() + make_interval(secs => $2)
WHERE webhook_id = $1 AND state = 'pending'
"""
NEXT_DELIVERY = """
SELECT extract(epoch FROM min(due_at) - now())::float8
FROM webhook_deliveries WHERE state = 'pending'
"""
SELECT_DELIVERY = """
SELECT state, tries, last_error FROM webhook_deliveries WHERE request_id = $1 ORDER BY attempt DESC LIMIT 1
"""
DELETE = "DELETE FROM processing_requests WHERE request_id = $1"


_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
_ENDED_BY_SERVER = ("08", "57")
"""Classes of SQLSTATE with which a connection ends: the statement before may have been done."""


@contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except _FAILURES as error:
        raise RecordsError(_in_words(error)) from error


def _in_words(error: BaseException) -> str:
    return f"Postgres: {type(error).__name__}: {error}"


def _is_refusal(error: BaseException) -> bool:
    """Whether the server itself says that it did not do the statement."""
    state = getattr(error, "sqlstate", None) or ""
    return isinstance(error, asyncpg.PostgresError) and bool(state) and not state.startswith(_ENDED_BY_SERVER)


def _translate_errors(call: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    @wraps(call)
    async def translating(*args: P.args, **kwargs: P.kwargs) -> R:
        with _errors_translated():
            return await call(*args, **kwargs)

    return translating


class Records:
    """The records, over a pool of connections. Every call raises RecordsError when Postgres fails."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @_translate_errors
    async def ping(self) -> None:
        """Raise RecordsError unless Postgres answers."""
        await self._pool.fetchval("SELECT 1")

    async def create(self, request: NewRequest) -> bool:
        """Record a request. False when there is one with its id already; of this upload or of another.

        Raises ConflictError when that is another owner's, OutcomeUnknownError when the answer was lost:
        then it may be recorded, and the same call may be made again. Any other RecordsError means that
        nothing was recorded.
        """
        with _errors_translated():
            connection = await self._pool.acquire(timeout=TIMEOUT_S)
        try:
            return await _insert(connection, request)
        finally:
            with suppress(*_FAILURES):
                await self._pool.release(connection, timeout=TIMEOUT_S)

    @_translate_errors
    async def get(self, request_id: str) -> Request | None:
        found = await self._pool.fetchrow(SELECT, request_id)
        return _request(found) if found is not None else None

    @_translate_errors
    async def pending(self) -> list[Request]:
        """Every request that is not at its end, oldest first."""
        return [_request(found) for found in await self._pool.fetch(SELECT_PENDING)]

    @_translate_errors
    async def planned(self, request: Request, rows: int, images: int, input_sha256: str) -> None:
        """Record what planning found; does nothing to a finished request."""
        await self._pool.execute(
            UPDATE_PLANNED, request.request_id, request.attempt, rows, images, input_sha256
        )

    @_translate_errors
    async def reopen(self, request_id: str, attempt: int) -> None:
        """Begin a later attempt at a finished request. The CSVs of the earlier one stay until replaced."""
        await self._pool.execute(UPDATE_REOPENED, request_id, attempt)

    @_translate_errors
    async def progress(
        self, request: Request, phase: Phase, message: str, counts: Counts, waiting: Waiting | None = None
    ) -> None:
        """Record how far a pending request is, and why it waits; does nothing to a finished one."""
        await self._pool.execute(
            UPDATE_PROGRESS,
            request.request_id,
            request.attempt,
            phase.value,
            message,
            counts.succeeded,
            counts.failed,
            counts.bytes_in,
            counts.bytes_out,
            waiting.reason if waiting else "",
            waiting.message if waiting else "",
        )

    @_translate_errors
    async def finish(
        self, request: Request, ending: Ending, result: Result, body: str, webhook_id: str
    ) -> bool:
        """The terminal commit: the row's end and the outbox entry, both or neither.

        False when somebody else was first; then nothing changed. `body` is what the webhook will say.
        """
        counts = result.counts
        ended: int = await self._pool.fetchval(
            FINISH,
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
        )
        return ended == 1

    @_translate_errors
    async def delete(self, request_id: str) -> None:
        """Forget a request and its deliveries."""
        await self._pool.execute(DELETE, request_id)

    @_translate_errors
    async def claim_deliveries(self, limit: int, lease_seconds: float) -> list[Delivery]:
        """Take due deliveries. They come back by themselves when the claimer dies within the lease."""
        return [Delivery(**found) for found in await self._pool.fetch(CLAIM_DELIVERIES, limit, lease_seconds)]

    @_translate_errors
    async def settle_delivery(self, webhook_id: str, *, delivered: bool, error: str = "") -> None:
        await self._pool.execute(SETTLE_DELIVERY, webhook_id, "delivered" if delivered else "failed", error)

    @_translate_errors
    async def postpone_delivery(self, webhook_id: str, seconds: float, error: str) -> None:
        await self._pool.execute(POSTPONE_DELIVERY, webhook_id, seconds, error)

    @_translate_errors
    async def next_delivery_seconds(self) -> float | None:
        """Seconds until a delivery is due, 0 when one is overdue; None when there is none."""
        found: float | None = await self._pool.fetchval(NEXT_DELIVERY)
        return None if found is None else max(found, 0.0)

    @_translate_errors
    async def delivery(self, request_id: str) -> DeliveryState | None:
        """How the newest delivery of a request stands; None when it has no webhook."""
        found = await self._pool.fetchrow(SELECT_DELIVERY, request_id)
        return DeliveryState(**found) if found is not None else None


async def _insert(connection: PoolConnection, request: NewRequest) -> bool:
    try:
        done = await connection.execute(
            INSERT,
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
        )
    except _FAILURES as error:
        kind = RecordsError if _is_refusal(error) else OutcomeUnknownError
        raise kind(_in_words(error)) from error
    if done == "INSERT 0 1":
        return True
    with _errors_translated():
        found = await connection.fetchrow(SELECT, request.request_id)
    if found is not None and found["owner"] != request.owner:
        raise ConflictError(f"request id {request.request_id} belongs to another owner")
    return False


def _request(found: "asyncpg.Record") -> Request:
    return Request(
        request_id=found["request_id"],
        owner=found["owner"],
        attempt=found["attempt"],
        status=found["status"],
        phase=Phase(found["phase"]),
        message=found["message"],
        error=found["error"],
        spec=found["spec"],
        input_sha256=found["input_sha256"],
        rows=found["rows"],
        counts=Counts(
            total=found["images"],
            succeeded=found["images_succeeded"],
            failed=found["images_failed"],
            bytes_in=found["bytes_in"],
            bytes_out=found["bytes_out"],
            skipped=found["images_skipped"],
        ),
        errors_by_code=found["errors_by_code"],
        output_key=found["output_key"],
        errors_key=found["errors_key"],
        report_key=found["report_key"],
        qualities=Qualities(**found["qualities"]),
        webhook_url=found["webhook_url"],
        created_at=found["created_at"],
        started_at=found["started_at"],
        finished_at=found["finished_at"],
        uploaded_by=found["uploaded_by"],
        upload=found["upload"],
        reason=found["reason"],
        waiting=_waiting(found),
    )


def _waiting(found: "asyncpg.Record") -> Waiting | None:
    reason, is_pending = found["reason"], found["status"] == "pending"
    return Waiting(reason, found["waiting_message"]) if reason and is_pending else None


@asynccontextmanager
async def connect(settings: DatabaseSettings) -> AsyncIterator[Records]:
    """Open the pool; closed at the end of the block. Works behind PgBouncer too."""
    try:
        pool = await asyncpg.create_pool(
            settings.database_url.get_secret_value(),
            min_size=1,
            max_size=settings.database_connections,
            statement_cache_size=0,
            command_timeout=TIMEOUT_S,
            init=_prepare,
            reset=_keep_session,
        )
    except (asyncpg.PostgresError, OSError) as error:
        raise RecordsError(f"Postgres can't be reached: {error}") from error
    try:
        yield Records(pool)
    finally:
        await pool.close()


async def _prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def _keep_session(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Nothing here changes a session; what asyncpg does to one that comes back is four statements."""
