"""The whole system on one machine: Postgres, S3, API and engine, started and stopped together.

Our own programs take longer to import than anything else here, and S3 takes two seconds to start: they do so
beside each other.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagebatch_cli.backing_servers import backing_servers
from imagebatch_cli.data_folder import DataFolder
from imagebatch_cli.settings import LocalSettings

if TYPE_CHECKING:
    from imagebatch.records import Records


@dataclass(frozen=True, slots=True)
class LocalSystem:
    """A running system. `examples_url` is None where there are no example images to serve."""

    api_url: str
    records: "Records"
    examples_url: str | None


@asynccontextmanager
async def local_system(
    folder: DataFolder, local: LocalSettings, port: int | None = None
) -> AsyncIterator[LocalSystem]:
    """Start everything on `folder`; all is stopped when the block ends, or when a part of it fails.

    Raises FolderBusyError, ServiceFailedError, SettingsError, StoreError or RecordsError when it can't
    start, and an ExceptionGroup of these when a part fails later.
    """
    _check(local.webhook_secret.get_secret_value())
    with folder.locked():
        importing = asyncio.create_task(asyncio.to_thread(_import))
        async with backing_servers(folder, folder.prepare()) as servers:
            await importing
            from imagebatch_cli import programs  # noqa: PLC0415 - imported by now

            async with programs.running(servers, folder, local, port) as system:
                yield system


def _check(webhook_secret: str) -> None:
    if webhook_secret:
        from imagebatch import webhook  # noqa: PLC0415 - most have none

        webhook.check_secret(webhook_secret)


def _import() -> None:
    from imagebatch_cli import programs  # noqa: F401, PLC0415 - what this is for
