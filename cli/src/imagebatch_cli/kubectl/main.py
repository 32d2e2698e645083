"""The `kubectl-imagebatch` command, which kubectl runs as `kubectl imagebatch`. docs/cli.md describes it."""

from typing import NoReturn

import click

from imagebatch_cli.kubectl import batches, results, submit
from imagebatch_cli.main import run_group


def main() -> NoReturn:
    """The entry point of `kubectl-imagebatch`."""
    run_group(cli, "kubectl-imagebatch")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Batches of images as objects of a cluster: by your kubeconfig, without ImageBatch's REST API."""


for command in (
    submit.submit, batches.list_, batches.watch, results.why, results.results,
    batches.cancel, batches.suspend, batches.resume, batches.retry, batches.delete,
):  # fmt: skip
    cli.add_command(command)
