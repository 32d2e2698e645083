"""A webhook receiver on loopback, which remembers every request whole."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Receiver:
    """An async context manager. `replies` maps a path to its reply, or to what makes one; else 200."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.replies: dict[str, Reply | Callable[[Received], Reply]] = {}
        self._arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def until_requests(self, count: int) -> None:
        """Wait until `count` requests have come; bound it with a timeout."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= count)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await _read(reader)
        except (asyncio.IncompleteReadError, ConnectionError):  # the sender was killed
            writer.close()
            return
        with suppress(ConnectionError):  # it is killed now
            writer.write(self._answer(request))
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        async with self._arrived:
            self.requests.append(request)
            self._arrived.notify_all()

    def _answer(self, request: Received) -> bytes:
        reply = self.replies.get(request.path, Reply())
        reply = reply if isinstance(reply, Reply) else reply(request)
        headers = {"content-length": "0", "connection": "close", **reply.headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {reply.status} Test\r\n{lines}\r\n".encode("latin-1")


async def _read(reader: asyncio.StreamReader) -> Received:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, path, _ = first.split(" ")
    return Received(method, path, headers, body)
