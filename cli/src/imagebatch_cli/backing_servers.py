"""The servers that the local system stands on: Postgres and S3, embedded or the user's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from imagebatch.settings import DatabaseSettings, S3Settings
from imagebatch_cli.data_folder import DataFolder, SystemFile
from imagebatch_cli.postgres import EmbeddedPostgres
from imagebatch_cli.processes import Kept
from imagebatch_cli.seaweed import EmbeddedS3
from imagebatch_cli.settings import own_database, own_s3


@dataclass(frozen=True, slots=True)
class BackingServers:
    """How to reach both. `embedded` are those that are ours, and must go on running."""

    database: DatabaseSettings
    s3: S3Settings
    embedded: tuple[Kept, ...] = ()

    @property
    def embedded_s3(self) -> EmbeddedS3 | None:
        return next((server for server in self.embedded if isinstance(server, EmbeddedS3)), None)


@asynccontextmanager
async def backing_servers(folder: DataFolder, system: SystemFile) -> AsyncIterator[BackingServers]:
    """Start those that are embedded; stopped with the block. Raises ServiceFailedError or SettingsError."""
    async with AsyncExitStack() as stack:
        servers: list[Kept] = []
        database, s3 = await asyncio.gather(
            _database(stack, folder, servers), _s3(stack, folder, system, servers)
        )
        yield BackingServers(database, s3, tuple(servers))


async def _database(stack: AsyncExitStack, folder: DataFolder, servers: list[Kept]) -> DatabaseSettings:
    own = own_database()
    if own is not None:
        return own
    postgres = EmbeddedPostgres(folder)
    stack.push_async_callback(postgres.service.stop)
    await postgres.start()
    servers.append(postgres)
    return postgres.settings


async def _s3(
    stack: AsyncExitStack, folder: DataFolder, system: SystemFile, servers: list[Kept]
) -> S3Settings:
    own = own_s3()
    if own is not None:
        return own
    s3 = EmbeddedS3(folder, system)
    stack.push_async_callback(s3.stop)
    await s3.start()
    servers.append(s3)
    return s3.settings
