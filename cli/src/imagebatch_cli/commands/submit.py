"""`submit`: a CSV goes to a running server."""

from pathlib import Path

import click

from imagebatch_cli.commands.batches import watch_to_end
from imagebatch_cli.exit_codes import COMPLETE
from imagebatch_cli.options import CSV_FILE, form_of, server_options, upload_options
from imagebatch_cli.running import run
from imagebatch_cli.screen import say, say_accepted, show_json, show_json_line
from imagebatch_cli.server import Server, chosen


@click.command()
@click.argument("file", type=CSV_FILE)
@click.option("--watch", "is_watched", is_flag=True, help="Show it on its way, and end when it ends.")
@click.option(
    "--idempotency-key",
    metavar="KEY",
    default="",
    help="Uploads with the same key are one batch; without it each is one.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON only; with --watch the answer and each status document, one a line.",
)
@server_options
@upload_options
def submit(  # noqa: PLR0917 - click passes them by name
    file: Path,
    is_watched: bool,
    idempotency_key: str,
    as_json: bool,
    server: str | None,
    token: str | None,
    **options: str | float | bool | None,
) -> int:
    """Upload a CSV to a running server and print its answer."""
    form = form_of(options)
    api = chosen(server, token)
    if is_watched:
        return run(_submit_and_watch(api, file, form, idempotency_key, as_json=as_json))
    return run(_submit(api, file, form, idempotency_key, as_json=as_json))


async def _submit(server: Server, file: Path, form: dict[str, str], key: str, *, as_json: bool) -> int:
    async with server.client() as client:
        accepted = await client.submit(file, more_fields=form, idempotency_key=key)
    show_json(accepted.document)
    if not as_json:
        say(f"Watch it: imagebatch watch {accepted.id}")
    return COMPLETE


async def _submit_and_watch(
    server: Server, file: Path, form: dict[str, str], key: str, *, as_json: bool
) -> int:
    async with server.client() as client:
        accepted = await client.submit(file, more_fields=form, idempotency_key=key)
        if as_json:
            show_json_line(accepted.document)
        else:
            say_accepted(accepted)
        return await watch_to_end(client, accepted.id, as_json=as_json)
