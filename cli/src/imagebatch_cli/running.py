"""Runs a command's work on an event loop, and ends it in order when a signal asks for that."""

import asyncio
import os
import signal
from collections.abc import Coroutine
from typing import Any

from imagebatch_cli.processes import kill_children


def run(work: Coroutine[Any, Any, int]) -> int:
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
