"""Serving the app inside a program that has other things to do on the same event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

GRACE_S = 10
BACKLOG = 2048


class _Server(uvicorn.Server):
    """A server that leaves signals to the program, and says when it has started."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()


async def serve(app: ASGIApp, host: str, port: int, *, started: asyncio.Event | None = None) -> None:
    """Serve until cancelled; then running requests have `GRACE_S` seconds to end.

    `started` is set once connections are accepted. Raises OSError when the address can't be bound.
    """
    await serve_on(app, bind(host, port), started=started)


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


async def serve_on(app: ASGIApp, listening: socket.socket, *, started: asyncio.Event | None = None) -> None:
    """As `serve`, on a socket of the caller's, which is closed at the end."""
    server = _Server(_config(app), started.set if started is not None else lambda: None)
    with listening:
        running = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await asyncio.shield(running)
        finally:
            server.should_exit = True
            await asyncio.wait([running])


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
