"""Serving the app inside a program that has other things to do on the same event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

GRACE_S = 10
BACKLOG = 2048
TICK_S = 1.0


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """What a request may take before the app sees it: bytes of its line and headers, and time for them.

    The app refuses longer headers itself, in words; those of over twice `max_bytes` end here.
    """

    max_bytes: int = 32 * 1024
    seconds: float = 10.0


class _Server(uvicorn.Server):
    """A server that leaves signals to the program, says when it has started, and rests when idle."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        """uvicorn's own ticks ten times a second, which is half a per cent of a core in an idle program.

        All that a tick does here is to bring the Date header up to date, and it does that at tick 0.
        """
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._stopping.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()


KEEP_ALIVE_S = 75
"""Longer than proxies keep an idle connection (60 s): they must not send on one that is closing."""


class _Protocol(H11Protocol):
    """Closes a connection when no request runs on it and none arrives whole within `seconds`.

    uvicorn bounds only how long a connection is idle after an answer: who sends a header's byte now and
    then, or goes on with a body that was answered already, could hold one for ever.
    """

    def __init__(self, *args: Any, seconds: float, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*args, **kwargs)
        self._seconds = seconds
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_watching()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_watching()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self._seconds, self.transport.close)

    def _stop_watching(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    started: asyncio.Event | None = None,
    stopping: asyncio.Event | None = None,
    head: HeadLimits = HeadLimits(),
) -> None:
    """Serve until cancelled; then running requests have `GRACE_S` seconds to end.

    `started` is set once connections are accepted, and `stopping` when they are no more, so that streams
    end. Raises OSError when the address can't be bound.
    """
    await serve_on(app, bind(host, port), started=started, stopping=stopping, head=head)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio would not switch Nagle's delay off: 40 ms on each answer.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


async def serve_on(
    app: ASGIApp,
    listening: socket.socket,
    *,
    started: asyncio.Event | None = None,
    stopping: asyncio.Event | None = None,
    head: HeadLimits = HeadLimits(),
) -> None:
    """As `serve`, on a socket of the caller's, which is closed at the end."""
    server = _Server(_config(app, head), started.set if started is not None else lambda: None)
    with listening:
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await asyncio.shield(running)
        finally:
            if stopping is not None:
                stopping.set()
            server.stop()
            await asyncio.wait([running])


def _config(app: ASGIApp, head: HeadLimits) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=partial(_Protocol, seconds=head.seconds),  # type: ignore[arg-type]
        h11_max_incomplete_event_size=2 * head.max_bytes,
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
