"""The `kubectl-imagebatch` command, which kubectl runs as `kubectl imagebatch`. docs/cli.md describes it."""

from typing import NoReturn

import click

from imagebatch_cli.kubectl import batches, check, images, results, submit, webhooks
from imagebatch_cli.main import run_group


def main() -> NoReturn:
    """The entry point of `kubectl-imagebatch`."""
    run_group(cli, "kubectl-imagebatch")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Batches of images as objects of a cluster: by your kubeconfig, without ImageBatch's REST API."""


for command in (
    submit.submit, check.check, batches.list_, batches.watch, results.why, results.results, images.images,
    batches.cancel, batches.suspend, batches.resume, batches.retry, batches.delete, webhooks.webhooks,
):  # fmt: skip
    cli.add_command(command)
