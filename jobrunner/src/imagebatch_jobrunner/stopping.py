"""Being stopped from outside: SIGTERM, Ctrl-C, or the end of a supervisor.

Used by `main`. The running task is cancelled, which kills the codec processes; should that take too
long (a name lookup or an S3 call can't be interrupted), the process ends itself.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from imagebatch.batch.exit_codes import Exit

_PATIENCE_S = 3.0


class Stop:
    """Whether somebody asked this process to stop."""

    def __init__(self, task: "asyncio.Task[object]") -> None:
        self._task = task
        self.is_asked = False

    def ask(self) -> None:
        if self.is_asked:
            return
        self.is_asked = True
        last_resort = threading.Timer(_PATIENCE_S, os._exit, [int(Exit.TERMINATED)])
        last_resort.daemon = True
        last_resort.start()
        self._task.cancel()


def listen(*, stdin_eof: bool) -> Stop:
    """Cancel the current task when somebody asks this process to stop."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    stop = Stop(task)
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, stop.ask)
    if stdin_eof:
        _watch_stdin(lambda: loop.call_soon_threadsafe(stop.ask))
    return stop


def leave(code: Exit) -> NoReturn:
    """End now. The regular way would wait for threads that may be stuck in a name lookup or an S3 call."""
    with suppress(OSError):  # the disk that the log is on is full
        sys.stderr.flush()
    os._exit(code)


def _watch_stdin(at_eof: Callable[[], object]) -> None:
    """In a daemon thread, for no event loop can wait for every kind of standard input."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        with suppress(RuntimeError):  # the loop is closed: nothing is left to stop
            at_eof()

    threading.Thread(target=watch, name="stdin", daemon=True).start()
