"""`check`: everything that an upload would be checked for, with nothing kept."""

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from imagebatch import links
from imagebatch.csv.columns import ColumnOptions
from imagebatch.csv.ingest import Reader
from imagebatch_cli.exit_codes import COMPLETE
from imagebatch_cli.options import CSV_FILE, form_of, json_option, server_options, upload_options
from imagebatch_cli.running import run
from imagebatch_cli.screen import say, say_warnings, show_json
from imagebatch_cli.server import Server, named, running
from imagebatch_client import Checked

CHUNK_BYTES = 1 << 16
MAX_HOSTS, MAX_SHOWN = 100, 10


@click.command()
@click.argument("file", type=CSV_FILE)
@json_option
@server_options
@upload_options
def check(
    file: Path, as_json: bool, server: str | None, token: str | None, **options: str | int | bool | None
) -> int:
    """Check a CSV and the options as an upload would be; nothing is kept.

    The server that is named does it, or the one of the data folder, if it runs; without one this command.
    """
    form = form_of(options)
    api = named(server, token) or running(token)
    if api is not None:
        return run(_check_there(api, file, form, as_json=as_json))
    _show(checked_here(file, form), as_json=as_json)
    return COMPLETE


async def _check_there(server: Server, file: Path, form: dict[str, str], *, as_json: bool) -> int:
    async with server.client() as client:
        _show(await client.check(file, more_fields=form), as_json=as_json)
    return COMPLETE


def _show(found: Checked, *, as_json: bool) -> None:
    if as_json:
        show_json(found.document)
        return
    click.echo(f"This can be uploaded: {found.rows} rows, {found.images} images")
    for host in found.hosts[:MAX_SHOWN]:
        click.echo(f"  {host.images:>8}  {host.host}")
    if len(found.hosts) > MAX_SHOWN:
        say(f"  and {len(found.hosts) - MAX_SHOWN} hosts more")
    say_warnings(found.warnings)


# -- without a server ------------------------------------------------------------------------------------


def checked_here(file: Path, form: dict[str, str]) -> Checked:
    """What the server would say of the file. Raises InputRefusedError."""
    with file.open("rb") as content:
        chunks = iter(lambda: content.read(CHUNK_BYTES), b"")
        reader = Reader(chunks, encoding=form.get("encoding"), columns=ColumnOptions.parse(form))
        hosts = Counter(_hosts(reader))
    document: dict[str, Any] = {
        "rows": len(reader.index),
        "images": reader.images,
        "hosts": [{"host": host, "images": count} for host, count in hosts.most_common(MAX_HOSTS)],
        "warnings": [asdict(warning) for warning in reader.warnings],
    }
    return Checked.read(document)


def _hosts(reader: Reader) -> Iterator[str]:
    """The host of each link that can be fetched. A block of the canonical CSV holds whole records."""
    blocks = (block.decode() for block in reader.canonical())
    records = (record for block in blocks for record in csv.reader(io.StringIO(block, newline="")))
    next(records, None)
    for record in records:
        for column in reader.layout.links:
            for entry in links.split(record[column]):
                meant = links.read(entry)
                if not isinstance(meant, links.BadLink):
                    yield str(urlsplit(meant[0].url).hostname)
