"""Follows a batch to its end, with a progress bar for people."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from imagebatch_cli.client import ApiClient, ServerError

POLL_S = 0.3
PATIENCE_S = 60.0


class _SpeedColumn(TextColumn):
    """Images a second."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} images/s" if task.speed else "", style="progress.data.speed")


async def follow(client: ApiClient, request_id: str) -> dict[str, Any]:
    """Wait for the end of a batch and return its status document. Raises ServerError when it is lost."""
    with _bar() as bar:
        task = bar.add_task("Pending", total=None)
        while True:
            status = await _patient_status(client, request_id)
            images = status["images"]
            done = images["succeeded"] + images["failed"]
            bar.update(task, description=_label(status), completed=done, total=images["total"])
            if status["status"] != "pending":
                return status
            await asyncio.sleep(POLL_S)


async def _patient_status(client: ApiClient, request_id: str) -> dict[str, Any]:
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        try:
            return await client.status(request_id)
        except ServerError:
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(POLL_S)


def _label(status: dict[str, Any]) -> str:
    failed, reason = status["images"]["failed"], status.get("reason")
    words = [status["phase"], f"{failed} failed" if failed else "", f"waits: {reason}" if reason else ""]
    return ", ".join(filter(None, words))


@contextmanager
def _bar() -> Iterator[Progress]:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _SpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        yield progress
