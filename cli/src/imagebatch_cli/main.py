"""The `imagebatch` command: its words, and what becomes of errors. docs/cli.md describes every command."""

import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from typing import NoReturn

import click

from imagebatch import errors
from imagebatch.csv.encodings import ENCODINGS
from imagebatch.errors import InputRefusedError, Problem
from imagebatch_cli.commands import (
    batches,
    check,
    completion,
    doctor,
    gc,
    images,
    local,
    results,
    submit,
    webhooks,
)
from imagebatch_cli.exit_codes import FAILED, INTERRUPTED, REFUSED
from imagebatch_cli.kubectl.errors import ClusterError
from imagebatch_cli.results import NoResultError, UnwritableError
from imagebatch_cli.screen import say
from imagebatch_client import ApiError, ImageBatchError, Issue, SignatureError, TokenError, UnauthorizedError


def main() -> NoReturn:
    """The entry point of `imagebatch`."""
    run_group(cli, "imagebatch")


def run_group(group: click.Group, name: str) -> NoReturn:
    """Run a command of a group: every error of ours becomes a sentence and an exit code."""
    try:
        sys.exit(group.main(prog_name=name, standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing more to say, nor at exit
        sys.exit(FAILED)
    except (errors.ImageBatchError, ImageBatchError, ExceptionGroup) as error:
        ours = list(_ours(error))
        if not ours:
            raise
        sys.exit(_explain(ours, name))


def _ours(error: Exception) -> Iterator[errors.ImageBatchError | ImageBatchError]:
    """The errors of ours in what was raised, which may be a group of groups."""
    if isinstance(error, errors.ImageBatchError | ImageBatchError):
        yield error
    elif isinstance(error, ExceptionGroup):
        for inner in error.exceptions:
            yield from _ours(inner)


def _explain(found: list[errors.ImageBatchError | ImageBatchError], name: str) -> int:
    for error in found:
        problems = _problems(error)
        code = f"  [{problems[0].code}]" if len(problems) == 1 else ""
        say(f"{name.rpartition(' ')[2]}: {error}{_advice(error)}{code}")
        for problem in problems if len(problems) > 1 else ():
            say(f"  {problem}  [{problem.code}]")
        if any(problem.code == "not_utf8" for problem in problems):
            say(f"  Declare it with --encoding, one of: {', '.join(ENCODINGS)}")
    return REFUSED if any(map(_is_users_mistake, found)) else FAILED


def _advice(error: Exception) -> str:
    if isinstance(error, UnauthorizedError):
        return "; set IMAGEBATCH_TOKEN or give --token"
    return ""


def _problems(error: Exception) -> list[Issue]:
    if isinstance(error, ApiError):
        return list(error.problem.errors)
    if isinstance(error, InputRefusedError):
        return list(map(_issue, error.problems))
    return []


def _issue(problem: Problem) -> Issue:
    return Issue(problem.code, problem.message, problem.line)


def _is_users_mistake(error: Exception) -> bool:
    if isinstance(error, ApiError | ClusterError):
        return 400 <= error.status < 500 and error.status != 429
    return isinstance(
        error, InputRefusedError | UnwritableError | NoResultError | TokenError | SignatureError
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


for command in (
    local.up, local.run, local.token,
    submit.submit, check.check,
    batches.list_, batches.status, batches.watch,
    batches.cancel, batches.suspend, batches.resume, batches.retry, batches.delete,
    results.results, images.images, webhooks.webhooks, gc.gc, doctor.doctor, completion.completion,
):  # fmt: skip
    cli.add_command(command)
