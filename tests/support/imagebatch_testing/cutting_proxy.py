"""A proxy before an HTTP server that ends connections in the middle of answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from imagebatch_testing.web import reset

CHUNK_BYTES = 65536


@dataclass
class CuttingProxy:
    """`cuts` has, for each of the next connections, after how many bytes of its answers it is ended."""

    behind: int
    port: int = 0
    cuts: list[int] = field(default_factory=list)
    connections: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        left = self.cuts.pop(0) if self.cuts else None
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.behind)
        asking = asyncio.create_task(_pass_on(reader, to_server))
        try:
            await _answer(from_server, writer, left)
        except (OSError, asyncio.CancelledError):
            pass  # either side went
        finally:
            self._tasks.discard(task)
            asking.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await asking
            to_server.close()
            writer.close()

    async def close(self) -> None:
        ending = list(self._tasks)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, left: int | None) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        if left is not None and len(chunk) > left:
            writer.write(chunk[:left])
            await writer.drain()
            reset(writer)
            return
        left = None if left is None else left - len(chunk)
        writer.write(chunk)
        await writer.drain()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()


@asynccontextmanager
async def cutting(behind: int) -> AsyncIterator[CuttingProxy]:
    """A proxy before a port of loopback, as long as the block."""
    proxy = CuttingProxy(behind)
    server = await asyncio.start_server(proxy.connected, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
