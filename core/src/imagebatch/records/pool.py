"""The pool of connections to Postgres."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from imagebatch.errors import RecordsError
from imagebatch.records.failures import FAILURES
from imagebatch.settings import DatabaseSettings

TIMEOUT_S = 30.0
"""Of one statement, and of the wait for a connection before a request is recorded."""


@asynccontextmanager
async def opened(settings: DatabaseSettings) -> AsyncIterator["asyncpg.Pool[asyncpg.Record]"]:
    """Open the pool; closed at the end of the block. Works behind PgBouncer too."""
    try:
        pool = await asyncpg.create_pool(
            settings.database_url.get_secret_value(),
            min_size=1,
            max_size=settings.database_connections,
            statement_cache_size=0,
            command_timeout=TIMEOUT_S,
            init=prepare,
            reset=_keep_session,
        )
    except FAILURES as error:
        raise RecordsError(f"Postgres can't be reached: {error}") from error
    try:
        yield pool
    finally:
        await pool.close()


async def prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def _keep_session(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Nothing here changes a session, so asyncpg's reset of a returned one, four statements, is left out."""
