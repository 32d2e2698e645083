"""`list`, `watch` and the verbs that change an object."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import click

from imagebatch_cli.exit_codes import COMPLETE, FAILED
from imagebatch_cli.kubectl import changes
from imagebatch_cli.kubectl.cluster import Cluster
from imagebatch_cli.kubectl.documents import batch_of, document_of
from imagebatch_cli.kubectl.following import follow_object
from imagebatch_cli.kubectl.words import cluster_options, name_argument, on_cluster, show, where
from imagebatch_cli.options import json_lines_option, json_option
from imagebatch_cli.progress import follow, view
from imagebatch_cli.results import summary
from imagebatch_cli.screen import say, seconds_of, show_batches, show_json

LISTED = 20

Json = dict[str, Any]


@click.command("list")
@click.option("--limit", type=click.IntRange(1), default=LISTED, help="How many (default 20).")
@click.option(
    "--status", type=click.Choice(["pending", "complete", "failed"]), help="Only batches with this status."
)
@json_option
@cluster_options
def list_(limit: int, status: str | None, as_json: bool, context: str | None, namespace: str | None) -> int:
    """List the namespace's batches, newest first."""

    async def work(cluster: Cluster) -> int:
        found = [body for body in await cluster.list_all() if status in {None, document_of(body)["status"]}]
        if as_json:
            show_json({"batches": list(map(document_of, found[:limit]))})
            return COMPLETE
        show_batches(list(map(batch_of, found[:limit])))
        if len(found) > limit:
            say(f"There are {len(found) - limit} more: --limit {len(found)}")
        return COMPLETE

    return on_cluster(context, namespace, work)


@click.command()
@name_argument
@json_lines_option
@cluster_options
def watch(name: str, as_json: bool, context: str | None, namespace: str | None) -> int:
    """Show a batch on its way, and end when it ends; Ctrl-C leaves it running."""
    return on_cluster(context, namespace, lambda cluster: watch_to_end(cluster, name, as_json=as_json))


async def watch_to_end(cluster: Cluster, name: str, *, as_json: bool) -> int:
    try:
        async with aclosing(follow_object(cluster, name)) as batches:
            batch = await follow(batches, view(as_json=as_json))
    except asyncio.CancelledError:
        place = where(cluster.namespace)
        say(
            f"The batch goes on. Watch it again: kubectl imagebatch watch {name}{place}\n"
            f"End it: kubectl imagebatch cancel {name}{place}"
        )
        raise
    if not as_json:
        click.echo(summary(batch, seconds=seconds_of(batch)))
        if batch.output_csv is not None:
            say(f"Fetch the results: kubectl imagebatch results {name}{where(cluster.namespace)}")
    return COMPLETE if batch.is_complete else FAILED


@click.command()
@name_argument
@json_option
@cluster_options
def cancel(name: str, as_json: bool, context: str | None, namespace: str | None) -> int:
    """End a batch with what it has."""
    return on_cluster(
        context, namespace, lambda cluster: _change(cluster, name, changes.cancel, as_json=as_json)
    )


@click.command()
@name_argument
@json_option
@cluster_options
def suspend(name: str, as_json: bool, context: str | None, namespace: str | None) -> int:
    """Stop the work on a batch until `resume`; what is done stays done."""
    return on_cluster(
        context, namespace, lambda cluster: _change(cluster, name, changes.suspend, as_json=as_json)
    )


@click.command()
@name_argument
@json_option
@cluster_options
def resume(name: str, as_json: bool, context: str | None, namespace: str | None) -> int:
    """Let a suspended batch go on."""
    return on_cluster(
        context, namespace, lambda cluster: _change(cluster, name, changes.resume, as_json=as_json)
    )


@click.command()
@name_argument
@json_option
@cluster_options
def retry(name: str, as_json: bool, context: str | None, namespace: str | None) -> int:
    """Run again what failed or was not tried in a batch that has ended."""
    return on_cluster(
        context, namespace, lambda cluster: _change(cluster, name, changes.retry, as_json=as_json)
    )


async def _change(cluster: Cluster, name: str, change: Callable[[Json], Json], *, as_json: bool) -> int:
    body = await cluster.get(name)
    patch = change(body)
    show(await cluster.change(name, patch) if patch else body, as_json=as_json)
    return COMPLETE


@click.command()
@name_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@cluster_options
def delete(name: str, yes: bool, as_json: bool, context: str | None, namespace: str | None) -> int:
    """Remove the object of a batch that has ended; its record and what it stored on S3 stay."""
    if not yes and sys.stdin.isatty():
        click.confirm(f"Delete the ImageBatch {name}?", abort=True, err=True)

    async def work(cluster: Cluster) -> int:
        body = await cluster.get(name)
        changes.check_deletable(body)
        await cluster.delete(name, body["metadata"]["uid"])
        if not as_json:
            click.echo(f"{name}  deleted")
        return COMPLETE

    return on_cluster(context, namespace, work)
