"""The options that the commands of `kubectl imagebatch` share, and how their work is done on a cluster."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click

from imagebatch_cli.kubectl.cluster import Cluster, connect
from imagebatch_cli.kubectl.documents import batch_of, document_of
from imagebatch_cli.running import run
from imagebatch_cli.screen import show_batch, show_json

F = TypeVar("F", bound=Callable[..., object])
Json = dict[str, Any]

name_argument = click.argument("name")


def cluster_options(command: F) -> F:
    """Where the objects are."""
    context = click.option("--context", metavar="NAME", help="The kubeconfig's context [the current one].")
    namespace = click.option(
        "-n", "--namespace", metavar="NAME", help="The namespace [the context's, or default]."
    )
    return namespace(context(command))


def on_cluster(
    context: str | None, namespace: str | None, work: Callable[[Cluster], Coroutine[Any, Any, int]]
) -> int:
    """Do some work on the cluster; the exit code."""

    async def connected() -> int:
        async with connect(context, namespace) as cluster:
            return await work(cluster)

    return run(connected())


def show(body: Json, *, as_json: bool) -> None:
    """How an object stands: its line, or its document."""
    if as_json:
        show_json(document_of(body))
    else:
        show_batch(batch_of(body))


def where(namespace: str | None) -> str:
    """The option for the namespace, in a command that is shown to the user."""
    return f" -n {namespace}" if namespace else ""
