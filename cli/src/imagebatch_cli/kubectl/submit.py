"""`kubectl imagebatch submit`: a CSV becomes an object."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from imagebatch_cli.commands.check import checked_here
from imagebatch_cli.exit_codes import COMPLETE
from imagebatch_cli.kubectl import sources
from imagebatch_cli.kubectl.batches import watch_to_end
from imagebatch_cli.kubectl.cluster import Cluster
from imagebatch_cli.kubectl.errors import ClusterError
from imagebatch_cli.kubectl.words import cluster_options, on_cluster, show, where
from imagebatch_cli.options import CSV_FILE, form_of, json_option, upload_options
from imagebatch_cli.screen import say
from imagebatch_client import Checked

Json = dict[str, Any]


@click.command()
@click.argument("file", type=CSV_FILE, required=False)
@click.option("--s3-key", metavar="KEY", help="In place of FILE: a CSV on the bucket, imports/NAMESPACE/….")
@click.option("--name", metavar="NAME", help="The object's name [the file's, and some letters].")
@click.option("--watch", "is_watched", is_flag=True, help="Show it on its way, and end when it ends.")
@json_option
@cluster_options
@upload_options
def submit(  # noqa: PLR0917 - click passes them by name
    file: Path | None,
    s3_key: str | None,
    name: str | None,
    is_watched: bool,
    as_json: bool,
    context: str | None,
    namespace: str | None,
    **options: str | float | bool | None,
) -> int:
    """Make an ImageBatch of a CSV: in it up to 128 KiB, in a ConfigMap up to 1 MiB, or by --s3-key."""
    form = form_of(options)
    if (file is None) == (s3_key is None):
        raise click.UsageError("give either FILE or --s3-key")
    stem = file.stem if file is not None else Path(str(s3_key)).stem
    chosen = name or sources.new_name(stem)

    async def work(cluster: Cluster) -> int:
        if file is not None:
            objects = read_file(chosen, cluster.namespace, file, form).objects
        else:
            objects = sources.of_s3_key(chosen, cluster.namespace, str(s3_key), form)
        made = await _create(cluster, objects)
        if is_watched:
            return await watch_to_end(cluster, chosen, as_json=as_json)
        show(made, as_json=as_json)
        if not as_json:
            say(f"Watch it: kubectl imagebatch watch {chosen}{where(namespace)}")
        return COMPLETE

    return on_cluster(context, namespace, work)


@dataclass(frozen=True, slots=True)
class ReadFile:
    """What is in a file, and what would be made of it."""

    checked: Checked
    objects: sources.Objects


def read_file(name: str, namespace: str, file: Path, form: dict[str, str]) -> ReadFile:
    """The objects of a file that the operator will not refuse. Raises InputRefusedError."""
    sources.check_size(file.stat().st_size, namespace)
    checked = checked_here(file, form)
    return ReadFile(checked, sources.of_file(name, namespace, file.read_bytes(), form))


async def _create(cluster: Cluster, objects: sources.Objects) -> Json:
    """Create the batch, then its ConfigMap, for which it waits. If that fails, delete the batch."""
    made = await cluster.create(objects.batch)
    if objects.config_map is not None:
        try:
            await cluster.create_config_map(objects.owned_by(made))
        except ClusterError:
            await cluster.delete(made["metadata"]["name"], made["metadata"]["uid"])
            raise
    return made
