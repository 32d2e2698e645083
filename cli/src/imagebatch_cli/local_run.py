"""What `up` and `run` do with the system on this machine. Each returns the exit code."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import httpx

from imagebatch_cli.data_folder import LOOPBACK, DataFolder
from imagebatch_cli.exit_codes import COMPLETE, FAILED
from imagebatch_cli.progress import follow, view
from imagebatch_cli.results import Wanted, first_failures, save, summary
from imagebatch_cli.screen import say, say_accepted, show_json
from imagebatch_cli.settings import LocalSettings
from imagebatch_cli.system import LocalSystem, local_system
from imagebatch_client import AsyncClient

WEBHOOK_PATIENCE_S = 15.0
POLL_S = 0.2


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
    async with _own_or_running(folder, local) as (api_url, system), AsyncClient(api_url, token) as client:
        accepted = await client.submit(submission.file, more_fields=submission.fields)
        say_accepted(accepted)
        uploaded = time.monotonic()
        async with aclosing(client.watch(accepted.id)) as batches:
            batch = await follow(batches, view(as_json=False))
        saved = await save(client, batch, wanted)
        failures = await first_failures(client, batch)
        if system is not None and "webhook_url" in submission.fields:
            await _webhook_tried(system, accepted.id)
        seconds = time.monotonic() - uploaded
        click.echo(summary(batch, saved, seconds, failures), err=as_json)
        if system is not None:
            click.echo(f"The links answer while `imagebatch up --data {_shown(folder)}` runs.", err=as_json)
        if as_json:
            show_json(batch.document)
    return COMPLETE if batch.is_complete else FAILED


@asynccontextmanager
async def _own_or_running(
    folder: DataFolder, local: LocalSettings
) -> AsyncIterator[tuple[str, LocalSystem | None]]:
    """The system that runs on the folder, or one of our own for the time of the block."""
    running = f"http://{LOOPBACK}:{folder.read().api_port}"
    if folder.is_locked() and await _is_alive(running):
        yield running, None
        return
    say("Starting …")
    async with local_system(folder, local) as system:
        yield system.api_url, system


async def _is_alive(url: str) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            return (await client.get(f"{url}/healthz")).is_success
    except httpx.HTTPError:
        return False


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


def _shown(folder: DataFolder) -> Path:
    here = Path.cwd()
    return folder.path.relative_to(here) if folder.path.is_relative_to(here) else folder.path
