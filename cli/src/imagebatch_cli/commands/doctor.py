"""`doctor`: whether ImageBatch can do its work here, and what to do where it can't."""

from dataclasses import asdict
from pathlib import Path

import click

from imagebatch_cli.exit_codes import COMPLETE, FAILED
from imagebatch_cli.options import data_option
from imagebatch_cli.running import run
from imagebatch_cli.screen import show_json
from imagebatch_cli.server import data_folder, local_settings


@click.command()
@data_option
@click.option("--webhook-url", "webhook_url", metavar="URL", help="Check whether this can be reached, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def doctor(data: Path | None, webhook_url: str | None, as_json: bool) -> int:
    """Check whether ImageBatch can work here; each line says what to do. Ends with 1 if something is wrong.

    It checks the S3 and the Postgres that the settings name, else the embedded ones, which it starts unless
    they run. It stores a small object on S3 and removes it again.
    """
    return run(_doctor(data, webhook_url, as_json=as_json))


async def _doctor(data: Path | None, webhook_url: str | None, *, as_json: bool) -> int:
    from imagebatch_cli.diagnosis import diagnose  # noqa: PLC0415 - it imports what `up` imports

    local = local_settings()
    findings = []
    async for finding in diagnose(data_folder(local, data), local, webhook_url):
        findings.append(finding)
        if not as_json:
            click.echo(f"{'OK  ' if finding.ok else 'FAIL'}  {finding.name:<9} {finding.message}")
            if finding.advice:
                click.echo(f"      {'':<9} {finding.advice}")
    if as_json:
        show_json({"findings": [asdict(finding) for finding in findings]})
    return COMPLETE if all(finding.ok for finding in findings) else FAILED
