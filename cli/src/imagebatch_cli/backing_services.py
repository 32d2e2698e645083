"""What the local system stands on: Postgres and S3, embedded or the user's own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from imagebatch import records
from imagebatch.migrations import upgrade
from imagebatch.records import Records
from imagebatch.settings import S3Settings
from imagebatch.storage.s3 import S3Store
from imagebatch.storage.store_id import StoreId
from imagebatch_cli.backing_servers import BackingServers, backing_servers
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
    async with backing_servers(folder, system) as servers, connected(servers) as base:
        yield base


@asynccontextmanager
async def connected(servers: BackingServers) -> AsyncIterator[BackingServices]:
    """Connect to servers that run, with our schema and our bucket. Raises StoreError or RecordsError."""
    await upgrade(servers.database.database_url.get_secret_value())
    embedded = servers.embedded_s3
    async with records.connect(servers.database) as opened:
        store = S3Store(servers.s3, trouble=embedded.service.disk.trouble if embedded else lambda: None)
        try:
            if embedded:
                await asyncio.to_thread(store.create_bucket)
                await asyncio.to_thread(_end_uploads, store)  # of a killed system: the folder is ours alone
            await asyncio.to_thread(store.probe)
            await asyncio.to_thread(StoreId(store).get)
            yield BackingServices(opened, store, servers.s3, servers.embedded)
        finally:
            store.close()


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
