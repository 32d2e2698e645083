"""Brings the database's schema up to date, by Alembic, one program at a time.

Called at the start of the API and of the operator. Migrations are plain SQL in versions/, each one either
additive or safe while the release before still runs (expand, then contract a release later).
"""

import asyncio
from pathlib import Path

import alembic.command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

LOCK = 0x494D_4147  # "IMAG": the advisory lock that one migrating program holds


async def upgrade(database_url: str) -> None:
    """Apply what is missing, under a Postgres advisory lock. Safe to call from many programs at once."""
    engine = create_async_engine(_dialect_url(database_url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade)
            await connection.commit()
    finally:
        await engine.dispose()
        await asyncio.sleep(0)  # let the driver's transport close before the loop may


def _upgrade(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    alembic.command.upgrade(config, "head")


def _dialect_url(database_url: str) -> str:
    for prefix in ("postgresql://", "postgres://"):
        if database_url.startswith(prefix):
            return f"postgresql+asyncpg://{database_url.removeprefix(prefix)}"
    return database_url
