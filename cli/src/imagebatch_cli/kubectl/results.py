"""`why` and `results`: what the status of an object says and links."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from imagebatch.custom_resource import ImageBatch
from imagebatch_cli.commands.results import check_end, wanted_of
from imagebatch_cli.exit_codes import COMPLETE
from imagebatch_cli.kubectl.asking import timeout_option
from imagebatch_cli.kubectl.cluster import Cluster
from imagebatch_cli.kubectl.documents import batch_of, document_of
from imagebatch_cli.kubectl.links import FirstThatAnswers, PrivateLinks, origin, private_links
from imagebatch_cli.kubectl.words import cluster_options, name_argument, on_cluster
from imagebatch_cli.options import errors_option, images_option, json_option, output_option, report_option
from imagebatch_cli.results import Saved, Wanted, save, summary
from imagebatch_cli.screen import age, aligned, show_batch, show_json
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
@timeout_option
@json_option
@cluster_options
def results(  # noqa: PLR0917 - click passes them by name
    name: str,
    output: Path | None,
    errors: Path | None,
    report: Path | None,
    images: Path | None,
    timeout_s: float,
    as_json: bool,
    context: str | None,
    namespace: str | None,
) -> int:
    """Save the results of a batch: those that are named; else NAME_output.csv here.

    Links to errors and report, which are private, are asked of the operator.
    """
    asked = Wanted(output, errors, images, report)
    wanted = wanted_of(name, Wanted(Path(f"{name}_output.csv")) if asked == Wanted() else asked)

    async def work(cluster: Cluster) -> int:
        body = await cluster.get(name)
        batch = batch_of(body)
        check_end(batch, "kubectl imagebatch")
        is_private = wanted.errors is not None or wanted.report is not None
        links = await private_links(cluster, name, timeout_s) if is_private else PrivateLinks()
        saved = await _save(batch, wanted, links)
        if as_json:
            show_json(batch.document)
        else:
            click.echo(summary(batch, saved))
        return COMPLETE

    return on_cluster(context, namespace, work)


async def _save(batch: Batch, wanted: Wanted, private: PrivateLinks) -> Saved:
    errors, report = (links[0] if links else None for links in (private.errors, private.report))
    others = {links[0]: links[1:] for links in (private.errors, private.report) if links}
    async with AsyncClient(origin(str(batch.output_csv))) as client:
        linked = replace(batch, errors_csv=errors, report_csv=report)
        return await save(FirstThatAnswers(client, others), linked, wanted)
