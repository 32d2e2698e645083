"""`up`, `run` and `token`: the system on this machine. What they need is imported only when they run."""

from pathlib import Path

import click

from imagebatch.errors import SettingsError
from imagebatch_cli import results
from imagebatch_cli.exit_codes import COMPLETE
from imagebatch_cli.options import (
    CSV_FILE,
    FOLDER,
    NEW_FILE,
    data_option,
    form_of,
    report_option,
    upload_options,
)
from imagebatch_cli.results import Wanted
from imagebatch_cli.running import run as run_to_end
from imagebatch_cli.screen import say
from imagebatch_cli.server import data_folder, local_settings


@click.command()
@click.option("--port", type=click.IntRange(1, 65_535), help="The API's port [8080, or what it was before].")
@data_option
def up(port: int | None, data: Path | None) -> int:
    """Start the whole system on this machine; Ctrl-C stops it."""
    from imagebatch_cli import local_run  # noqa: PLC0415 - see the module

    local = local_settings()
    _configure_logs(local.log_level)
    return run_to_end(local_run.up(data_folder(local, data), local, port))


@click.command()
@click.argument("file", type=CSV_FILE)
@click.option("--output", type=NEW_FILE, help="The output CSV [NAME_output.csv in this folder].")
@click.option("--errors", type=NEW_FILE, help="What failed [NAME_errors.csv in this folder].")
@report_option
@click.option("--images", type=FOLDER, help="Save copies of the images here.")
@data_option
@upload_options
@click.option("--json", "as_json", is_flag=True, help="Print the status document, last on stdout.")
def run(  # noqa: PLR0917 - click passes them by name
    file: Path,
    output: Path | None,
    errors: Path | None,
    report: Path | None,
    images: Path | None,
    data: Path | None,
    as_json: bool,
    **options: str | float | bool | None,
) -> int:
    """Do one CSV: start the system (or use the one that runs), upload, wait, save the results."""
    from imagebatch_cli import local_run  # noqa: PLC0415 - see the module

    local = local_settings()
    _configure_logs("warning")
    wanted = Wanted(
        output or Path(f"{file.stem}_output.csv"), errors or Path(f"{file.stem}_errors.csv"), images, report
    )
    results.check(wanted)
    submission = local_run.Submission(file, form_of(options))
    return run_to_end(local_run.run(data_folder(local, data), local, submission, wanted, as_json=as_json))


def _configure_logs(level: str) -> None:
    from imagebatch import logs  # noqa: PLC0415 - see the module

    logs.configure(level)


@click.command()
@click.argument("name")
def token(name: str) -> int:
    """Make a token for the API, under the NAME of who will use it."""
    from imagebatch_api import tokens  # noqa: PLC0415 - see the module

    made = tokens.make()
    try:
        entry = tokens.entry_of(name, made)
    except SettingsError as error:
        raise click.BadParameter(str(error)) from None
    say("The token, for who uploads; it is shown this once:")
    click.echo(made)
    say("\nIts line for the server's tokens file (IMAGEBATCH_API_TOKENS_FILE):")
    click.echo(str(entry))
    return COMPLETE
