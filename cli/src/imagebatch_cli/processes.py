"""The child processes of the local system: started, watched, stopped, and cleared away after a crash."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
import structlog

from imagebatch.errors import ImageBatchError
from imagebatch_cli.data_folder import DataFolder
from imagebatch_cli.disk import Disk

START_S = 60.0
LEFTOVER_S = 5.0
POLL_S = 0.05
RESTART_PAUSES_S = (1.0, 4.0, 16.0)
STABLE_S = 600.0
"""A server that ran for longer than this gets all its restarts again."""

log = structlog.get_logger()


class ServiceFailedError(ImageBatchError):
    """A service of the local system did not start, or ended by itself."""


class RestartWantedError(ServiceFailedError):
    """A service was ended to be started again."""


@dataclass(frozen=True, slots=True)
class Program:
    """How to run a service. On `stop_signal` it ends in order; after `stop_seconds` it is killed."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 20.0
    user: int | None = None
    cwd: Path | None = None


class Service:
    """One running service, its output in DIR/logs/NAME.log, its process id in system.json."""

    def __init__(self, folder: DataFolder, program: Program) -> None:
        self._folder = folder
        self.program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._is_restarting = False
        self.disk = Disk(program.cwd or folder.path)

    @property
    def log_path(self) -> Path:
        return self._folder.logs / f"{self.program.name}.log"

    async def start(self, is_ready: Callable[[], Awaitable[bool]]) -> None:
        """Start it and wait until it is ready. Raises ServiceFailedError with the end of its log."""
        clear_leftover(self._folder, self.program.name)
        self._is_restarting = False
        with self.log_path.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond
                self.program.command,
                env=dict(self.program.env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.program.cwd,
                user=self.program.user,
                group=self.program.user,
                extra_groups=[] if self.program.user is not None else None,
                start_new_session=True,  # Ctrl-C comes to us alone; we stop it in order
            )
        _remember(self._folder, self.program.name, self._process.pid)
        deadline = time.monotonic() + START_S
        while not await is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                await self.stop()
                raise ServiceFailedError(f"{self.program.name} did not start; {self._log_end()}")
            await asyncio.sleep(POLL_S)

    async def wait(self) -> None:
        """Never return; raises ServiceFailedError when the service ends by itself, RestartWantedError when it
        was ended by `restart`.
        """
        assert self._process is not None
        code = await _ended(self._process)
        if self._is_restarting:
            raise RestartWantedError(self.program.name)
        raise ServiceFailedError(f"{self.program.name} ended with code {code}; {self._log_end()}")

    async def stop(self) -> None:
        """End it in order, or by force."""
        if self._process is None:
            return
        await self._end(self._process)
        _forget(self._folder, self.program.name)

    async def restart(self) -> None:
        """End it; who keeps it running starts it again at once."""
        assert self._process is not None
        self._is_restarting = True
        await self._end(self._process)

    async def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(self.program.stop_signal)
        try:
            async with asyncio.timeout(self.program.stop_seconds):
                await _ended(process)
        except TimeoutError:
            process.kill()
            await _ended(process)

    def _log_end(self) -> str:
        lines = self.log_path.read_text(errors="replace").splitlines()[-5:]
        return f"the end of {self.log_path}:\n" + "\n".join(lines)


async def _ended(process: subprocess.Popen[bytes]) -> int:
    """The exit code, once there is one. No thread waits for it: that could not be cancelled."""
    if hasattr(os, "pidfd_open") and process.poll() is None:
        await _readable(os.pidfd_open(process.pid))
    while (code := process.poll()) is None:  # noqa: ASYNC110
        await asyncio.sleep(POLL_S)
    return code


async def _readable(descriptor: int) -> None:
    """Wait until a descriptor can be read, and close it. A process's can when the process has ended."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


class Kept(Protocol):
    """A server of the local system that can be started again."""

    service: Service

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises ServiceFailedError."""
        ...


async def keep_running(server: Kept, pauses_s: Sequence[float] = RESTART_PAUSES_S) -> None:
    """Start the server again when it ends by itself, after a growing pause each time in a row.

    Never returns; raises ServiceFailedError when it has ended again after the last of them.
    """
    left = list(pauses_s)
    while True:
        started = time.monotonic()
        try:
            await server.service.wait()
        except RestartWantedError as error:
            await _start_again(server, error, [0.0, *left])
        except ServiceFailedError as error:
            if time.monotonic() - started > STABLE_S:
                left = list(pauses_s)
            await _start_again(server, error, left)


async def _start_again(server: Kept, error: ServiceFailedError, left: list[float]) -> None:
    """Ends on a full disk cost none of the pauses, for they may be many."""
    while left:
        was_full = server.service.disk.is_full
        await server.service.disk.until_room()
        log.warning("a server ended and is started again", pause_s=left[0], reason=str(error))
        await asyncio.sleep(left[0] if was_full else left.pop(0))
        try:
            return await server.start()
        except ServiceFailedError as again:
            error = again
        except OSError as again:  # no file can be written
            error = ServiceFailedError(f"{server.service.program.name} can't be started: {again}")
    raise error


def kill_children() -> None:
    """Kill everything that this process started, at once."""
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def _remember(folder: DataFolder, name: str, pid: int) -> None:
    system = folder.read()
    system.pids[name] = pid
    folder.write(system)


def _forget(folder: DataFolder, name: str) -> None:
    system = folder.read()
    system.pids.pop(name, None)
    with contextlib.suppress(OSError):  # a full disk; whoever starts next sees that the process is gone
        folder.write(system)


def clear_leftover(folder: DataFolder, name: str) -> None:
    """End a service that an earlier system, killed without warning, left running on this folder.

    A process id may have been given to a stranger since, so only a process that names this folder on its
    command line is ended.
    """
    pid = folder.read().pids.get(name)
    if pid is None or pid == os.getpid():
        return
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process = psutil.Process(pid)
        if any(str(folder.path) in word for word in process.cmdline()):
            _end_tree(process)
    _forget(folder, name)


def _end_tree(process: psutil.Process) -> None:
    family = [process, *process.children(recursive=True)]
    process.terminate()
    _, alive = psutil.wait_procs(family, timeout=LEFTOVER_S)
    for one in alive:
        one.kill()
    psutil.wait_procs(alive, timeout=LEFTOVER_S)
