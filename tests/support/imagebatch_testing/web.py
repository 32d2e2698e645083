"""A small web server on loopback, for tests about downloads."""

import asyncio
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Page:
    """What a path answers. Content-Length is added unless the headers or `chunked` say otherwise."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False


Route = Page | Handler


@dataclass
class Web:
    """A running server. `routes` may be changed while it runs; `requests` counts the requests by path.

    `targets` are theirs with the query, in order.
    """

    port: int
    routes: dict[str, Route]
    requests: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    scheme: str = "http"
    seen_headers: list[dict[str, str]] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The link to a path; for another host than loopback's address, tests bring their own resolver."""
        return f"{self.scheme}://{host}:{self.port}{path}"


@asynccontextmanager
async def serving(
    routes: "Mapping[str, Route] | None" = None, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Web]:
    """Serve `routes` by path (without query) until the block ends; unknown paths answer 404.

    A handler writes its whole answer itself; the connection closes when it returns.
    """
    web = Web(0, dict(routes or {}), scheme="https" if tls else "http")
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        web.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await _serve(web, reader, writer)
        finally:
            connections.discard(task)
            writer.close()
            with suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    web.port = server.sockets[0].getsockname()[1]
    try:
        yield web
    finally:
        server.close()
        waiting = list(connections)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _serve(web: Web, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        target = head[0].split(" ")[1]
        path = target.partition("?")[0]
        web.targets.append(target)
        web.requests[path] += 1
        web.seen_headers.append(_headers(head[1:]))
        route = web.routes.get(path, Page(b"not here", 404))
        if not isinstance(route, Page):
            await route(reader, writer)
            return
        writer.write(_answer(route))
        await writer.drain()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST, as a host that crashes does."""
    connected: socket.socket = writer.get_extra_info("socket")
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _headers(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines if line)
    return {name.lower(): value.strip() for name, _, value in pairs}


def _answer(page: Page) -> bytes:
    headers = dict(page.headers)
    body = page.body
    if page.chunked:
        headers["Transfer-Encoding"] = "chunked"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    else:
        headers.setdefault("Content-Length", str(len(body)))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {page.status} Test\r\n{lines}\r\n".encode("latin-1") + body
