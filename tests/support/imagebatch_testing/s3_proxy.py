"""A proxy before the real S3 that does to requests what a test says: refuses them, loses their answers.

It forwards bytes as they came, so that their signatures stay right.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)


@dataclass
class S3Proxy:
    """`refuses` is asked for each request, by method and path, and says whether it gets 503 SlowDown."""

    url: str
    refuses: Callable[[str, str], bool] = lambda _method, _path: False
    refused: list[str] = field(default_factory=list)
    """`METHOD path` of each."""


@asynccontextmanager
async def proxied(endpoint: str) -> AsyncIterator[S3Proxy]:
    """A proxy before the S3 at `endpoint`, for the time of the block."""
    parts = urlsplit(endpoint)
    connections: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, OSError):
            await _connection(proxy, reader, writer, str(parts.hostname), parts.port or 80)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy = S3Proxy(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield proxy
    finally:
        server.close()
        waiting = [task for task in connections if task is not None]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _connection(
    proxy: S3Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
) -> None:
    upstream_reader, upstream = await asyncio.open_connection(host, port)
    answers = asyncio.create_task(_pass_on(upstream_reader, writer))
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(_length(head))
            method, path, _ = head.split(b"\r\n")[0].decode("latin-1").split(" ")
            if proxy.refuses(method, path):
                proxy.refused.append(f"{method} {path}")
                writer.write(
                    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/xml\r\n"
                    b"Content-Length: %d\r\n\r\n" % len(SLOW_DOWN) + (b"" if method == "HEAD" else SLOW_DOWN)
                )
                await writer.drain()
            else:
                upstream.write(head + body)
                await upstream.drain()
    finally:
        answers.cancel()
        await asyncio.gather(answers, return_exceptions=True)
        upstream.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0
