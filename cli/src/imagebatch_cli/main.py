"""The `imagebatch` command.

Exit codes: 0 the batch is complete, 1 it failed (or the system did), 2 the input was refused or the
command misused, 130 stopped by Ctrl-C, 143 by SIGTERM; `up` ends with 0 when it is stopped.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from imagebatch import logs, settings, webhook
from imagebatch.csv import encodings
from imagebatch.csv.encodings import ENCODINGS
from imagebatch.errors import ImageBatchError, InputRefusedError, SettingsError
from imagebatch.net.guard import WIDEST
from imagebatch.options import OPTION_NAMES, Compression
from imagebatch_cli import commands, results
from imagebatch_cli.client import RefusedError, TokenRefusedError
from imagebatch_cli.commands import FAILED, Server, Submission, say, sentence
from imagebatch_cli.data_folder import DataFolder
from imagebatch_cli.processes import kill_children
from imagebatch_cli.results import UnwritableError, Wanted
from imagebatch_cli.settings import LocalSettings

REFUSED, INTERRUPTED = 2, 130

F = TypeVar("F", bound=Callable[..., object])
CSV_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


def main() -> NoReturn:
    """The entry point: every error of ours becomes a sentence and an exit code."""
    try:
        sys.exit(cli.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more to say, nor at exit
        sys.exit(FAILED)
    except (ImageBatchError, ExceptionGroup) as error:
        ours = list(_ours(error))
        if not ours:
            raise
        sys.exit(_explain(ours))


def _ours(error: Exception) -> Iterator[ImageBatchError]:
    """The errors of ours in what was raised, which may be a group of groups."""
    if isinstance(error, ImageBatchError):
        yield error
    elif isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from _ours(inner)


def _explain(errors: list[ImageBatchError]) -> int:
    for error in errors:
        say(f"imagebatch: {error}")
        if isinstance(error, RefusedError):
            problems = error.problem.get("errors", [])
            for problem in problems:
                say(f"  {sentence(problem)}  [{problem['code']}]")
            if any(problem["code"] == "not_utf8" for problem in problems):
                say(f"  Declare it with --encoding, one of: {', '.join(ENCODINGS)}")
    return REFUSED if any(isinstance(error, _USERS_MISTAKES) for error in errors) else FAILED


_USERS_MISTAKES = (RefusedError, TokenRefusedError, InputRefusedError, UnwritableError)


def _compression_options(command: F) -> F:
    """One command line option for each option of the compression: `minQuality` is --min-quality."""
    for name in reversed(OPTION_NAMES):
        flag = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)
        command = click.option(f"--{flag}", name, metavar="VALUE", help=_HELP[name])(command)
    return command


_HELP = {
    "quality": "50% of the source's own quality (default), or 1 to 100 absolute.",
    "minQuality": "The floor of a relative quality (default 30).",
    "targetBytes": "Lower the quality, down to that floor, until a file is no longer than this.",
    "format": "auto (default), keep, jpeg, png, webp or avif.",
    "maxWidth": "Make wider images smaller, to this many pixels.",
    "maxHeight": "Make higher images smaller, to this many pixels.",
    "stripMetadata": "true (default) or false: remove EXIF, GPS and XMP.",
    "progressive": "true or false (default): progressive JPEG.",
    "optimize": "true or false (default): smaller files for twice the time.",
}

data_option = click.option("--data", type=FOLDER, help="The data folder [IMAGEBATCH_DATA, .imagebatch].")
webhook_option = click.option("--webhook-url", metavar="URL", help="Where to POST the result.")
encoding_option = click.option(
    "--encoding",
    metavar="NAME",
    help=f"The CSV's encoding, if not to be found by its bytes: {', '.join(ENCODINGS)}.",
)
server_option = click.option("--server", metavar="URL", help="The API [IMAGEBATCH_SERVER].")
token_option = click.option(
    "--token", metavar="TOKEN", help="The token for it [IMAGEBATCH_TOKEN, which `ps` does not show]."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the status document, last on stdout."
)


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """With what compresses JPEGs, which depends on how it was installed."""
    if wanted:
        from imagebatch_jobrunner.codec.command import codec_version  # noqa: PLC0415 - for this alone

        click.echo(f"ImageBatch {version('imagebatch-cli')}, JPEG by {codec_version()}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_version,
    help="Show the version.",
)
def cli() -> None:
    """Compress the images of a product CSV: links in, compressed images and a new CSV out."""


@cli.command()
@click.option("--port", type=click.IntRange(1, 65_535), help="The API's port [8080, or what it was before].")
@data_option
def up(port: int | None, data: Path | None) -> int:
    """Start the whole system on this machine; Ctrl-C stops it."""
    local = _local()
    logs.configure(local.log_level)
    return _run(commands.up(_folder(local, data), local, port))


@cli.command()
@click.argument("file", type=CSV_FILE)
@click.option("--output", type=NEW_FILE, help="The output CSV [NAME_output.csv in this folder].")
@click.option("--errors", type=NEW_FILE, help="What failed [NAME_errors.csv in this folder].")
@click.option("--images", type=FOLDER, help="Save copies of the images here.")
@data_option
@webhook_option
@encoding_option
@_compression_options
@json_option
def run(  # noqa: PLR0917 - click passes them by name
    file: Path,
    output: Path | None,
    errors: Path | None,
    images: Path | None,
    data: Path | None,
    webhook_url: str | None,
    encoding: str | None,
    as_json: bool,
    **options: str | None,
) -> int:
    """Do one CSV: start the system (or use the one that runs), upload, wait, save the results."""
    local = _local()
    logs.configure("warning")
    wanted = Wanted(
        output or Path(f"{file.stem}_output.csv"), errors or Path(f"{file.stem}_errors.csv"), images
    )
    results.check(wanted)
    submission = Submission(file, _fields(webhook_url, encoding, options))
    return _run(commands.run(_folder(local, data), local, submission, wanted, as_json=as_json))


@cli.command()
@click.argument("file", type=CSV_FILE)
@server_option
@token_option
@webhook_option
@encoding_option
@_compression_options
def submit(
    file: Path,
    server: str | None,
    token: str | None,
    webhook_url: str | None,
    encoding: str | None,
    **options: str | None,
) -> int:
    """Upload a CSV to a running server and print the answer; returns at once."""
    submission = Submission(file, _fields(webhook_url, encoding, options))
    return _run(commands.submit(_server(server, token), submission))


@cli.command()
@click.argument("request_id")
@server_option
@token_option
def status(request_id: str, server: str | None, token: str | None) -> int:
    """Print the status document of a request."""
    return _run(commands.status(_server(server, token), request_id))


@cli.command()
@click.argument("name")
def token(name: str) -> int:
    """Make a token for the API, under the NAME of who will use it."""
    try:
        return commands.token(name)
    except SettingsError as error:
        raise click.BadParameter(str(error)) from None


def _server(url: str | None, token: str | None) -> Server:
    local = _local()
    return Server(url or local.server, local.token.get_secret_value() if token is None else token)


def _local() -> LocalSettings:
    return settings.read(LocalSettings)


def _folder(local: LocalSettings, data: Path | None) -> DataFolder:
    return DataFolder((data or local.data).expanduser().resolve())


def _fields(
    webhook_url: str | None, encoding: str | None, options: Mapping[str, str | None]
) -> dict[str, str]:
    """The form's fields. Raises InputRefusedError for what every server would refuse."""
    given = {name: value for name, value in options.items() if value is not None}
    Compression.parse(given)
    if encoding is not None:
        given["encoding"] = encodings.known(encoding)
    if webhook_url is not None:
        webhook.check_url(webhook_url, WIDEST)  # which addresses are open is the server's to say
        given["webhook_url"] = webhook_url
    return given


def _run(work: Coroutine[Any, Any, int]) -> int:
    """Run a command. Ctrl-C, SIGTERM and SIGHUP end it in order; a second one ends it at once."""
    return asyncio.run(_until_stopped(work))


async def _until_stopped(work: Coroutine[Any, Any, int]) -> int:
    task = asyncio.current_task()
    assert task is not None
    came: list[int] = []

    def stop(number: int) -> None:
        came.append(number)
        if len(came) == 1:
            task.cancel()
            return
        kill_children()
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)
    try:
        return await work
    except asyncio.CancelledError:
        if not came:
            raise
        return 128 + came[0]
