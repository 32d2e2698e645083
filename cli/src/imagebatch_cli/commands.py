"""What the commands do, once their words are parsed. Each returns the exit code."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from imagebatch_api import tokens
from imagebatch_cli.client import ApiClient
from imagebatch_cli.data_folder import LOOPBACK, DataFolder
from imagebatch_cli.follow import follow
from imagebatch_cli.results import Wanted, save, summary
from imagebatch_cli.settings import LocalSettings
from imagebatch_cli.system import LocalSystem, local_system

COMPLETE, FAILED = 0, 1
WEBHOOK_PATIENCE_S = 15.0
POLL_S = 0.2

say = Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print


@dataclass(frozen=True, slots=True)
class Submission:
    """A file to upload and the form's other fields."""

    file: Path
    fields: Mapping[str, str]


async def up(folder: DataFolder, local: LocalSettings, port: int | None) -> int:
    """Run the system until it is stopped."""
    say("Starting …")
    async with local_system(folder, local, port) as system:
        say(_welcome(folder, system))
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            say("Stopping …")
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()  # being stopped is how it is meant to end
    return COMPLETE


def _welcome(folder: DataFolder, system: LocalSystem) -> str:
    lines = [
        f"ImageBatch is up: {system.api_url}",
        f"  upload    curl -F file=@products.csv {system.api_url}/upload",
        f"  status    curl {system.api_url}/status/REQUEST_ID",
        f"  data      {folder.path}",
    ]
    if system.examples_url:
        lines.append(f"  examples  {system.examples_url}")
    return "\n".join([*lines, "Ctrl-C stops it; what is under way goes on at the next start."])


async def run(
    folder: DataFolder, local: LocalSettings, submission: Submission, wanted: Wanted, *, as_json: bool
) -> int:
    """One CSV from its upload to the saved results."""
    token = local.token.get_secret_value()
    async with _own_or_running(folder, local) as (api_url, system), ApiClient(api_url, token) as client:
        accepted = await client.submit(submission.file, submission.fields)
        _warn(accepted)
        uploaded = time.monotonic()
        status = await follow(client, accepted["request_id"])
        saved = await save(client, status, wanted)
        if system is not None and "webhook_url" in submission.fields:
            await _webhook_tried(system, accepted["request_id"])
        click.echo(summary(status, saved, time.monotonic() - uploaded), err=as_json)
        if system is not None:
            click.echo(f"The links answer while `imagebatch up --data {_shown(folder)}` runs.", err=as_json)
        if as_json:
            click.echo(json.dumps(status, indent=2, ensure_ascii=False))
    return COMPLETE if status["status"] == "complete" else FAILED


@asynccontextmanager
async def _own_or_running(
    folder: DataFolder, local: LocalSettings
) -> AsyncIterator[tuple[str, LocalSystem | None]]:
    """The system that runs on the folder, or one of our own for the time of the block."""
    running = f"http://{LOOPBACK}:{folder.read().api_port}"
    async with ApiClient(running) as client:
        if folder.is_locked() and await client.is_alive():
            yield running, None
            return
    say("Starting …")
    async with local_system(folder, local) as system:
        yield system.api_url, system


def _warn(accepted: Mapping[str, Any]) -> None:
    say(f"Request {accepted['request_id']}: {accepted['rows']} rows, {accepted['images']} images")
    for warning in accepted["warnings"]:
        say(f"  warning: {sentence(warning)}")


def sentence(problem: Mapping[str, Any]) -> str:
    """A problem or warning of the API in words, with its line where it has one."""
    line = f"line {problem['line']}: " if problem.get("line") else ""
    return f"{line}{problem['message']}"


async def _webhook_tried(system: LocalSystem, request_id: str) -> None:
    """Wait for the webhook's first try, so that stopping does not delay it to the next start."""
    deadline = time.monotonic() + WEBHOOK_PATIENCE_S
    while time.monotonic() < deadline:
        delivery = await system.records.delivery(request_id)
        if delivery is None or delivery.state == "delivered":
            return
        if delivery.last_error:
            say(f"The webhook failed ({delivery.last_error}); `imagebatch up` will try again.")
            return
        await asyncio.sleep(POLL_S)


def token(name: str) -> int:
    """Make a token and print it, with the line by which a server knows it; the exit code."""
    made = tokens.make()
    entry = tokens.entry_of(name, made)
    say("The token, for who uploads; it is shown this once:")
    click.echo(made)
    say("\nIts line for the server's tokens file (IMAGEBATCH_API_TOKENS_FILE):")
    click.echo(str(entry))
    return COMPLETE


def _shown(folder: DataFolder) -> Path:
    here = Path.cwd()
    return folder.path.relative_to(here) if folder.path.is_relative_to(here) else folder.path


@dataclass(frozen=True, slots=True)
class Server:
    """An API, and the token for it; `""` for none."""

    url: str
    token: str = field(default="", repr=False)


async def submit(server: Server, submission: Submission) -> int:
    """Upload and print the answer."""
    async with ApiClient(server.url, server.token) as client:
        accepted = await client.submit(submission.file, submission.fields)
    click.echo(json.dumps(accepted, indent=2, ensure_ascii=False))
    return COMPLETE


async def status(server: Server, request_id: str) -> int:
    """Print the status document; the exit code is 1 for a failed batch."""
    async with ApiClient(server.url, server.token) as client:
        document = await client.status(request_id)
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    return FAILED if document["status"] == "failed" else COMPLETE
