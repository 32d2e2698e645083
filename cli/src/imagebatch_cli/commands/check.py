"""`check`: everything that an upload would be checked for, with nothing kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from imagebatch.csv import check as csv_check
from imagebatch.csv.columns import ColumnOptions
from imagebatch.csv.ingest import Reader
from imagebatch_cli.exit_codes import COMPLETE
from imagebatch_cli.options import CSV_FILE, form_of, json_option, server_options, upload_options
from imagebatch_cli.running import run
from imagebatch_cli.screen import say, say_warnings, show_json
from imagebatch_cli.server import Server, named, running
from imagebatch_client import Checked

CHUNK_BYTES = 1 << 16
MAX_SHOWN = 10


@click.command()
@click.argument("file", type=CSV_FILE)
@json_option
@server_options
@upload_options
def check(
    file: Path, as_json: bool, server: str | None, token: str | None, **options: str | float | bool | None
) -> int:
    """Check a CSV and the options as an upload would be; nothing is kept.

    The server that is named does it, or the one of the data folder, if it runs; else the command itself.
    """
    form = form_of(options)
    api = named(server, token) or running(token)
    if api is not None:
        return run(_check_there(api, file, form, as_json=as_json))
    show_checked(checked_here(file, form), as_json=as_json)
    return COMPLETE


async def _check_there(server: Server, file: Path, form: dict[str, str], *, as_json: bool) -> int:
    async with server.client() as client:
        show_checked(await client.check(file, more_fields=form), as_json=as_json)
    return COMPLETE


def show_checked(found: Checked, *, as_json: bool) -> None:
    """What would be uploaded, in words or as the document."""
    if as_json:
        show_json(found.document)
        return
    click.echo(f"This can be uploaded: {found.rows} rows, {found.images} images")
    click.echo(f"  columns   {_columns(found.columns or {})}")
    for host in found.hosts[:MAX_SHOWN]:
        click.echo(f"  {host.images:>8}  {host.host}")
    if len(found.hosts) > MAX_SHOWN:
        say(f"  and {len(found.hosts) - MAX_SHOWN} hosts more")
    say_warnings(found.warnings)


def _columns(found: Mapping[str, Any]) -> str:
    """Which columns hold what, as --columns takes it."""
    links = "+".join(found.get("links") or ())
    named = {**{role: found.get(role) for role in ("serial", "name")}, "links": links}
    return ",".join(f"{role}={header}" for role, header in named.items() if header)


# -- without a server ------------------------------------------------------------------------------------


def checked_here(file: Path, form: Mapping[str, str]) -> Checked:
    """What a server would answer for the file. Raises InputRefusedError."""
    with file.open("rb") as content:
        chunks = iter(lambda: content.read(CHUNK_BYTES), b"")
        reader = Reader(chunks, encoding=form.get("encoding"), columns=ColumnOptions.parse(form))
        return Checked.read(csv_check.checked(reader).document())
