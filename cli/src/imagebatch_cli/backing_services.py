"""What the local system stands on: Postgres and S3, embedded or the user's own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from imagebatch import records
from imagebatch.records import Records
from imagebatch.settings import DatabaseSettings, S3Settings
from imagebatch.storage.s3 import S3Store
from imagebatch.storage.s3_health import Trouble
from imagebatch.storage.store_id import StoreId
from imagebatch_cli.data_folder import DataFolder, SystemFile
from imagebatch_cli.postgres import EmbeddedPostgres
from imagebatch_cli.processes import Kept
from imagebatch_cli.seaweed import EmbeddedS3
from imagebatch_cli.settings import own_database, own_s3


@dataclass(frozen=True, slots=True)
class BackingServices:
    """Records and store, ready for use. `servers` are the embedded ones, which must go on running."""

    records: Records
    store: S3Store
    s3: S3Settings
    servers: tuple[Kept, ...]


@asynccontextmanager
async def backing_services(folder: DataFolder, system: SystemFile) -> AsyncIterator[BackingServices]:
    """Start or connect to both, with our schema and our bucket; stopped when the block ends.

    Raises ServiceFailedError, SettingsError, StoreError or RecordsError.
    """
    async with AsyncExitStack() as stack:
        servers: list[Kept] = []
        upgrade, database, s3 = await asyncio.gather(
            asyncio.to_thread(_upgrade),
            _database(stack, folder, servers),
            _s3(stack, folder, system, servers),
        )
        await upgrade(database.database_url.get_secret_value())
        opened = await stack.enter_async_context(records.connect(database))
        store = S3Store(s3, trouble=_trouble(servers))
        stack.callback(store.close)
        if own_s3() is None:
            await asyncio.to_thread(store.create_bucket)
            await asyncio.to_thread(_end_uploads, store)  # of a killed system: the folder is ours alone
        await asyncio.to_thread(store.probe)
        await asyncio.to_thread(StoreId(store).get)
        yield BackingServices(opened, store, s3, tuple(servers))


@asynccontextmanager
async def running_services(folder: DataFolder) -> AsyncIterator[BackingServices]:
    """Connect to both beside the system that runs on the folder. Raises SettingsError or RecordsError."""
    database = own_database() or EmbeddedPostgres(folder).settings
    s3 = own_s3() or EmbeddedS3(folder, folder.read()).settings
    store = S3Store(s3)
    try:
        async with records.connect(database) as opened:
            yield BackingServices(opened, store, s3, ())
    finally:
        store.close()


def _end_uploads(store: S3Store) -> None:
    for upload in list(store.unfinished("")):
        store.end(upload)


def _trouble(servers: Sequence[Kept]) -> Trouble:
    """Why the embedded S3 can't store, where that is known without asking it."""
    embedded = next((server for server in servers if isinstance(server, EmbeddedS3)), None)
    return embedded.service.disk.trouble if embedded else lambda: None


def _upgrade() -> Callable[[str], Awaitable[None]]:
    """Brings the schema up to date. Its import takes as long as all others: meanwhile the servers start."""
    from imagebatch.migrations import upgrade  # noqa: PLC0415

    return upgrade


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
