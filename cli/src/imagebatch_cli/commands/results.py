"""`results`: what a batch that has ended left."""

from pathlib import Path

import click

from imagebatch_cli import results as saving
from imagebatch_cli.exit_codes import COMPLETE
from imagebatch_cli.options import (
    errors_option,
    images_option,
    json_option,
    output_option,
    report_option,
    server_options,
)
from imagebatch_cli.results import NoResultError, Wanted, first_failures, save, summary
from imagebatch_cli.running import run
from imagebatch_cli.screen import show_json
from imagebatch_cli.server import Server, chosen
from imagebatch_client import Batch


@click.command()
@click.argument("request_id", metavar="ID")
@output_option
@errors_option
@report_option
@images_option
@json_option
@server_options
def results(  # noqa: PLR0917 - click passes them by name
    request_id: str,
    output: Path | None,
    errors: Path | None,
    report: Path | None,
    images: Path | None,
    as_json: bool,
    server: str | None,
    token: str | None,
) -> int:
    """Save the results of a batch: those that are named; else ID_output.csv and ID_errors.csv here."""
    wanted = wanted_of(request_id, Wanted(output, errors, images, report))
    return run(_results(chosen(server, token), request_id, wanted, as_json=as_json))


def wanted_of(name: str, given: Wanted) -> Wanted:
    """What was asked for, or the usual two. Raises UnwritableError."""
    if given == Wanted():
        given = Wanted(Path(f"{name}_output.csv"), Path(f"{name}_errors.csv"))
    saving.check(given)
    return given


async def _results(server: Server, request_id: str, wanted: Wanted, *, as_json: bool) -> int:
    async with server.client() as client:
        batch = await client.get(request_id)
        check_end(batch, "imagebatch")
        saved = await save(client, batch, wanted)
        failures = [] if as_json else await first_failures(client, batch)
    if as_json:
        show_json(batch.document)
    else:
        click.echo(summary(batch, saved, failures=failures))
    return COMPLETE


def check_end(batch: Batch, command: str) -> None:
    """Raise NoResultError for a batch that runs, or has left nothing."""
    if not batch.is_finished:
        raise NoResultError(
            f"batch {batch.id} has not ended yet ({batch.phase}); wait for it: {command} watch {batch.id}"
        )
    if (since := batch.removed.get("outputs")) is not None:
        raise NoResultError(
            f"the results of batch {batch.id} were removed on {since[:10]}, as keepDays has it"
        )
    if batch.output_csv is None:
        raise NoResultError(f"batch {batch.id} left no results: {batch.error or batch.message}")
