"""`gc`: what is no longer kept on this machine goes now, or is shown."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagebatch_cli.data_folder import DataFolder
from imagebatch_cli.exit_codes import COMPLETE, FAILED
from imagebatch_cli.options import data_option
from imagebatch_cli.running import run
from imagebatch_cli.screen import show_json
from imagebatch_cli.server import data_folder, local_settings

if TYPE_CHECKING:
    from imagebatch_cli.backing_services import BackingServices


@click.command()
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Only show what would go.")
@click.option(
    "--trust-database",
    "is_trusted",
    is_flag=True,
    help="The database knows every batch of the bucket, though it was restored or replaced.",
)
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def gc(is_dry_run: bool, is_trusted: bool, data: Path | None, as_json: bool) -> int:
    """Remove what is no longer kept (docs/retention.md), as the system does by itself while it runs.

    It works on the S3 and the Postgres that the settings name, else on the embedded ones, which it starts
    unless they run.
    """
    from imagebatch import logs  # noqa: PLC0415 - as all that only this command needs

    logs.configure("warning")
    folder = data_folder(local_settings(), data)
    return run(_gc(folder, is_dry_run=is_dry_run, is_trusted=is_trusted, as_json=as_json))


async def _gc(folder: DataFolder, *, is_dry_run: bool, is_trusted: bool, as_json: bool) -> int:
    from imagebatch.batch import gc as rounds  # noqa: PLC0415
    from imagebatch.batch.collector import Collector  # noqa: PLC0415
    from imagebatch.batch.sweep import Sweeper  # noqa: PLC0415
    from imagebatch.storage.async_store import AsyncStore  # noqa: PLC0415

    async with _services(folder) as base:
        store, policy = AsyncStore(base.store), local_settings().retention
        sweeper = Sweeper(base.records, store, policy)
        if is_trusted and not is_dry_run:
            await sweeper.trust()
        collector = Collector(base.records, store, policy, sweeper)
        report = await rounds.run(collector, sweeper, is_dry_run=is_dry_run)
    if as_json:
        show_json(report.document())
    else:
        for line in report.lines():
            click.echo(line)
    return FAILED if report.put_off else COMPLETE


@asynccontextmanager
async def _services(folder: DataFolder) -> "AsyncIterator[BackingServices]":
    """Those of the system that runs on the folder, or started for the moment."""
    from imagebatch_cli.backing_services import backing_services, running_services  # noqa: PLC0415

    if folder.is_locked():
        async with running_services(folder) as base:
            yield base
        return
    with folder.locked():
        async with backing_services(folder, folder.prepare()) as base:
            await base.records.retentions.release_all()  # of a system that was killed: none runs here now
            yield base
