"""`list`, `status`, `watch`, and the verbs that change a batch."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import click

from imagebatch_cli.exit_codes import COMPLETE, FAILED
from imagebatch_cli.options import json_lines_option, json_option, server_options
from imagebatch_cli.progress import follow, view
from imagebatch_cli.results import first_failures, summary
from imagebatch_cli.running import run
from imagebatch_cli.screen import say, seconds_of, show_batch, show_batches, show_json
from imagebatch_cli.server import Server, chosen
from imagebatch_client import AsyncClient, Batch

Change = Callable[[AsyncClient, str], Awaitable[Batch]]

id_argument = click.argument("request_id", metavar="ID")
status_option = click.option(
    "--status", type=click.Choice(["pending", "complete", "failed"]), help="Only batches with this status."
)


@click.command("list")
@click.option("--limit", type=click.IntRange(1, 100), help="How many (default 20).")
@click.option("--after", metavar="ID", help="Those that are older than this one.")
@status_option
@json_option
@server_options
def list_(  # noqa: PLR0917 - click passes them by name
    limit: int | None,
    after: str | None,
    status: str | None,
    as_json: bool,
    server: str | None,
    token: str | None,
) -> int:
    """List your batches, newest first."""
    return run(_list(chosen(server, token), limit, after, status, as_json=as_json))


async def _list(
    server: Server, limit: int | None, after: str | None, status: str | None, *, as_json: bool
) -> int:
    async with server.client() as client:
        page = await client.list(limit=limit, after=after, status=status)
    if as_json:
        show_json(page.document)
        return COMPLETE
    show_batches(page.items)
    if page.next_after is not None:
        say(f"There are more: imagebatch list --after {page.next_after}")
    return COMPLETE


@click.command()
@id_argument
@click.option("--json", "as_json", is_flag=True, help="Makes no difference: the document is JSON anyway.")
@server_options
def status(request_id: str, as_json: bool, server: str | None, token: str | None) -> int:  # noqa: ARG001
    """Print the status document of a batch."""
    return run(_status(chosen(server, token), request_id))


async def _status(server: Server, request_id: str) -> int:
    async with server.client() as client:
        batch = await client.get(request_id)
    show_json(batch.document)
    return FAILED if batch.status == "failed" else COMPLETE


# -- watching --------------------------------------------------------------------------------------------


@click.command()
@id_argument
@json_lines_option
@server_options
def watch(request_id: str, as_json: bool, server: str | None, token: str | None) -> int:
    """Show a batch on its way, and end when it ends; Ctrl-C leaves it running."""
    return run(_watch(chosen(server, token), request_id, as_json=as_json))


async def _watch(server: Server, request_id: str, *, as_json: bool) -> int:
    async with server.client() as client:
        return await watch_to_end(client, request_id, as_json=as_json)


async def watch_to_end(client: AsyncClient, request_id: str, *, as_json: bool) -> int:
    """Show a batch until it ends, and what became of it; the exit code."""
    try:
        async with aclosing(client.watch(request_id)) as batches:
            batch = await follow(batches, view(as_json=as_json))
    except asyncio.CancelledError:
        say(
            f"The batch goes on. Watch it again: imagebatch watch {request_id}\n"
            f"End it: imagebatch cancel {request_id}"
        )
        raise
    if not as_json:
        click.echo(summary(batch, seconds=seconds_of(batch), failures=await first_failures(client, batch)))
        if batch.output_csv is not None:
            say(f"Fetch the results: imagebatch results {request_id}")
    return COMPLETE if batch.is_complete else FAILED


# -- verbs -----------------------------------------------------------------------------------------------


@click.command()
@id_argument
@json_option
@server_options
def cancel(request_id: str, as_json: bool, server: str | None, token: str | None) -> int:
    """End a batch with what it has."""
    return _change(chosen(server, token), request_id, AsyncClient.cancel, as_json=as_json)


@click.command()
@id_argument
@json_option
@server_options
def suspend(request_id: str, as_json: bool, server: str | None, token: str | None) -> int:
    """Stop the work on a batch until `resume`; what is done stays done."""
    return _change(chosen(server, token), request_id, AsyncClient.suspend, as_json=as_json)


@click.command()
@id_argument
@json_option
@server_options
def resume(request_id: str, as_json: bool, server: str | None, token: str | None) -> int:
    """Let a suspended batch go on."""
    return _change(chosen(server, token), request_id, AsyncClient.resume, as_json=as_json)


@click.command()
@id_argument
@json_option
@server_options
def retry(request_id: str, as_json: bool, server: str | None, token: str | None) -> int:
    """Run again what failed or was not tried in a batch that has ended."""
    return _change(chosen(server, token), request_id, AsyncClient.retry, as_json=as_json)


def _change(server: Server, request_id: str, change: Change, *, as_json: bool) -> int:
    async def work() -> int:
        async with server.client() as client:
            batch = await change(client, request_id)
        if as_json:
            show_json(batch.document)
        else:
            show_batch(batch)
        return COMPLETE

    return run(work())


@click.command()
@id_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@server_options
def delete(request_id: str, yes: bool, as_json: bool, server: str | None, token: str | None) -> int:
    """Remove a batch that has ended, with its images and CSVs; it asks first on a terminal."""
    if not yes and sys.stdin.isatty():
        click.confirm(f"Delete batch {request_id} with all its images and CSVs?", abort=True, err=True)
    return run(_delete(chosen(server, token), request_id, as_json=as_json))


async def _delete(server: Server, request_id: str, *, as_json: bool) -> int:
    async with server.client() as client:
        await client.delete(request_id)
    if not as_json:
        click.echo(f"{request_id}  deleted")
    return COMPLETE
