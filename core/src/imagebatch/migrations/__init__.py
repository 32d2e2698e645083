"""Brings the database's schema up to date, by Alembic, one program at a time.

Called at the start of the API and of the operator. Migrations are plain SQL in versions/, each one either
additive or safe while the release before still runs (expand, then contract a release later).
"""

from pathlib import Path

import alembic.command
import asyncpg
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from imagebatch.errors import RecordsError
from imagebatch.records.failures import FAILURES

CONNECT_S = 30.0
LOCK = 0x494D_4147  # "IMAG": the advisory lock that one migrating program holds


async def upgrade(database_url: str) -> None:
    """Apply what is missing, under a Postgres advisory lock. Safe to call from many programs at once.

    Raises RecordsError when Postgres can't be reached, or refuses.
    """

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(database_url, statement_cache_size=0, timeout=CONNECT_S)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade)
            await connection.commit()
    except CommandError as error:
        raise RecordsError(f"Postgres has the schema of another, newer version: {error}") from error
    except (SQLAlchemyError, *FAILURES, ValueError) as error:
        raise RecordsError(f"Postgres can't be reached, or not migrated: {error}") from error
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")
