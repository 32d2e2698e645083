"""Servers on loopback, reachable from pods: a relay listens on the address that pods know, with the same port.

It runs in a thread of its own, so that it serves tests with and without an event loop. It can be cut, as a
cable: connections break, new ones are refused, until it is mended.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SOON_S = 10.0
SETTLE_S = 0.002
ACCEPT_TURNS = 5
CHUNK_BYTES = 65536


@dataclass(slots=True)
class Relay:
    """From HOST:PORT to the same port on loopback, or to a Unix socket. `requests` counts those of HTTP."""

    host: str
    port: int
    socket: Path | None = None
    requests: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _server: asyncio.Server | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def url(self, path: str = "") -> str:
        return f"http://{self.address}{path}"

    def cut(self) -> None:
        """Break all connections and refuse new ones."""
        self._wait(self._close())

    def mend(self) -> None:
        """Accept connections again."""
        self._wait(self._open())

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        future: Future[None] = asyncio.run_coroutine_threadsafe(work, self._loop)
        future.result(SOON_S)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._connected, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0)  # what is connected by now is accepted first, or its socket stays open
        if self._server is not None:
            self._server.close()
        ending: set[asyncio.Task[None]] = set()
        async with asyncio.timeout(SOON_S):
            while len(asyncio.all_tasks()) > 1:  # connections, and those that were accepted just now
                for connection in self._connections - ending:
                    connection.cancel()
                    ending.add(connection)
                await asyncio.sleep(SETTLE_S)
        await asyncio.sleep(0)  # in which aborted transports close their sockets

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._relay(reader, writer)
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialling = asyncio.create_task(self._dial())
        try:
            there, back = await asyncio.shield(dialling)
        except asyncio.CancelledError:
            (await dialling)[1].transport.abort()  # half a connection would be left open
            raise
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, back, self._count))
                group.create_task(_pump(there, writer))
        finally:
            back.transport.abort()

    def _count(self, chunk: bytes) -> None:
        self.requests += chunk.count(b" HTTP/1.1\r\n")

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.socket is not None:
            return await asyncio.open_unix_connection(self.socket)
        return await asyncio.open_connection("127.0.0.1", self.port)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, see: Callable[[bytes], None] = lambda _: None
) -> None:
    with suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            see(chunk)
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()


@contextmanager
def relaying(host: str, port: int, socket: Path | None = None) -> Iterator[Relay]:
    """Relay until the block ends. With a socket, port 0 is any free one."""
    relay = Relay(host, port, socket)
    loop = relay._loop
    thread = threading.Thread(target=loop.run_forever, name=f"relay {relay.address}", daemon=True)
    thread.start()
    try:
        relay.mend()
        yield relay
    finally:
        relay.cut()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(SOON_S)
        loop.close()
