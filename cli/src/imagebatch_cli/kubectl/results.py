"""`why` and `results`: what the status of an object says and links."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from imagebatch.custom_resource import ImageBatch
from imagebatch_cli.commands.results import check_end, wanted_of
from imagebatch_cli.exit_codes import COMPLETE
from imagebatch_cli.kubectl.cluster import Cluster
from imagebatch_cli.kubectl.documents import batch_of, document_of
from imagebatch_cli.kubectl.words import cluster_options, name_argument, on_cluster
from imagebatch_cli.options import errors_option, images_option, json_option, output_option, report_option
from imagebatch_cli.results import NoResultError, Wanted, save, summary
from imagebatch_cli.screen import age, aligned, show_batch, show_json
from imagebatch_cli.server import local_settings
from imagebatch_client import AsyncClient, Batch

MAX_EVENTS = 10

Json = dict[str, Any]


@click.command()
@name_argument
@json_option
@cluster_options
def why(name: str, as_json: bool, context: str | None, namespace: str | None) -> int:
    """Say what a batch does or why it does not go on, and what happened to it lately."""

    async def work(cluster: Cluster) -> int:
        body = await cluster.get(name)
        condition = dict(ImageBatch(body).condition("Progressing"))
        events = (await cluster.events(name))[-MAX_EVENTS:]
        if as_json:
            show_json({**document_of(body), "progressing": condition or None, "events": events})
            return COMPLETE
        show_batch(batch_of(body))
        click.echo(_reason(condition))
        for line in aligned(map(_event, events)) if events else ():
            click.echo(f"  {line}")
        return COMPLETE

    return on_cluster(context, namespace, work)


def _reason(condition: Json) -> str:
    if not condition:
        return "No operator has taken it up yet."
    moves = "It goes on" if condition["status"] == "True" else "It does not go on"
    return f"{moves}: {condition['reason']}: {condition['message']}"


def _event(event: Json) -> tuple[str, ...]:
    text = event.get("lastTimestamp") or event.get("eventTime")
    since = datetime.fromisoformat(text) if text else None
    return age(datetime.now(UTC), since), event.get("type", ""), event.get("reason", ""), event["message"]


@click.command()
@name_argument
@output_option
@errors_option
@report_option
@images_option
@click.option(
    "--token", metavar="TOKEN", help="The API's token, for --errors and --report [IMAGEBATCH_TOKEN]."
)
@json_option
@cluster_options
def results(  # noqa: PLR0917 - click passes them by name
    name: str,
    output: Path | None,
    errors: Path | None,
    report: Path | None,
    images: Path | None,
    token: str | None,
    as_json: bool,
    context: str | None,
    namespace: str | None,
) -> int:
    """Save the results of a batch: those that are named; else NAME_output.csv here.

    The output CSV and the images lie on S3; errors and report are on the REST API only.
    """
    asked = Wanted(output, errors, images, report)
    wanted = wanted_of(name, Wanted(Path(f"{name}_output.csv")) if asked == Wanted() else asked)
    secret = _token(token) if wanted.errors or wanted.report else ""  # for the API, and for nobody else

    async def work(cluster: Cluster) -> int:
        body = await cluster.get(name)
        batch = batch_of(body)
        check_end(batch, "kubectl imagebatch")
        _check_links(batch, wanted)
        async with AsyncClient(_api_of(batch), secret) as client:
            saved = await save(client, batch, wanted)
        if as_json:
            show_json(batch.document)
        else:
            click.echo(summary(batch, saved))
        return COMPLETE

    return on_cluster(context, namespace, work)


def _token(given: str | None) -> str:
    return local_settings().token.get_secret_value() if given is None else given


def _check_links(batch: Batch, wanted: Wanted) -> None:
    """Raise NoResultError for what is on an API whose address the cluster does not know."""
    for option, path, link in (
        ("--errors", wanted.errors, batch.errors_csv),
        ("--report", wanted.report, batch.report_csv),
    ):
        if path is not None and link is not None and not link.startswith(("http://", "https://")):
            raise NoResultError(
                f"{option}: that is {link} on the API, whose address the chart does not know "
                "(api.settings.publicUrl)"
            )


def _api_of(batch: Batch) -> str:
    """The address of the API that the token is for: the report's link begins with it."""
    link = batch.report_csv or ""
    return link.partition("/batches/")[0] if link.startswith("http") else "http://127.0.0.1:8080"
