"""`kubectl imagebatch check`: the file is read here, the cluster judges the objects, nothing is made."""

from pathlib import Path

import click

from imagebatch_cli.commands.check import show_checked
from imagebatch_cli.exit_codes import COMPLETE
from imagebatch_cli.kubectl import sources
from imagebatch_cli.kubectl.cluster import Cluster
from imagebatch_cli.kubectl.submit import read_file
from imagebatch_cli.kubectl.words import cluster_options, on_cluster
from imagebatch_cli.options import CSV_FILE, form_of, json_option, upload_options


@click.command()
@click.argument("file", type=CSV_FILE)
@json_option
@cluster_options
@upload_options
def check(
    file: Path, as_json: bool, context: str | None, namespace: str | None, **options: str | int | bool | None
) -> int:
    """Check a CSV and the options as `submit` would, here and by the cluster; nothing is made."""
    form = form_of(options)

    async def work(cluster: Cluster) -> int:
        read = read_file(sources.new_name(file.stem), cluster.namespace, file, form)
        judged = await cluster.create(read.objects.batch, dry_run=True)
        if read.objects.config_map is not None:
            await cluster.create_config_map(read.objects.owned_by(judged), dry_run=True)
        show_checked(read.checked, as_json=as_json)
        return COMPLETE

    return on_cluster(context, namespace, work)
