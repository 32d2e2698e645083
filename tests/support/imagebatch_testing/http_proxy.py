"""A proxy before S3 or an API server that does to requests what a test says: refuses them, loses their answers,
kills who asks, holds the events of watches back.

It forwards bytes as they came, so that signatures stay right.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from imagebatch_testing.crash_point import CrashPoint
from imagebatch_testing.waiting import until
from imagebatch_testing.web import reset

_SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)

MOST_SILENCE_S = 120.0

Answer = bytes
"""A whole answer: its head and its body."""


def answer(status: int, content_type: str, body: bytes) -> Answer:
    head = (
        f"HTTP/1.1 {status} Answered\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def s3_error(status: int, code: str) -> Answer:
    """What S3 answers in place of doing what it was asked."""
    body = f"<Error><Code>{code}</Code><Message>the proxy says {code}</Message></Error>"
    return answer(status, "application/xml", body.encode())


SLOW_DOWN = answer(503, "application/xml", _SLOW_DOWN)


def kubernetes_error(status: int, reason: str) -> Answer:
    """What an API server answers in place of what was asked for."""
    return answer(status, "application/json", json.dumps(_status(status, reason)).encode())


def watch_error(status: int, reason: str) -> Answer:
    """What it says on a watch that it can't go on with."""
    event = {"type": "ERROR", "object": _status(status, reason)}
    return answer(200, "application/json", json.dumps(event).encode() + b"\n")


def _status(status: int, reason: str) -> dict[str, object]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": f"the proxy says {reason}",
        "reason": reason,
        "code": status,
    }


async def _at_once(_: bytes) -> bool:
    return True


@dataclass
class HttpProxy:
    """`refuses` is asked for each request, by method and path: what to answer in place of the server, or None.

    At the request that `crash_point` is set to, the client is killed once the server begins to answer it; watches
    don't count. `passes` is asked for each piece of a watch's answer, an event as a rule: it may take its time,
    and what it says no to is dropped.
    """

    url: str
    behind: str
    tls: ssl.SSLContext | None = None
    refuses: Callable[[str, str], Answer | None] = lambda _method, _path: None
    passes: Callable[[bytes], Awaitable[bool]] = _at_once
    crash_point: CrashPoint | None = None
    is_silent: bool = False
    """Then nobody gets an answer, and nothing is passed on, until it speaks again."""

    delay_s: float = 0.0
    """How long each request is held back."""

    resets: Callable[[str, str], bool] = lambda _method, _path: False
    """Asked like `refuses`: whether half of the body is passed on, and both connections are reset then."""

    refused: list[str] = field(default_factory=list)
    """`METHOD path` of each."""

    requests: list[str] = field(default_factory=list)
    watches: set[asyncio.StreamWriter] = field(default_factory=set)

    def end_watches(self) -> None:
        """End the connections of all watches, in the middle of what they say."""
        for client in self.watches:
            client.transport.abort()

    def is_fatal(self, method: str, path: str) -> bool:
        """Take note of a request; whether its client is to be killed at its answer."""
        self.requests.append(f"{method} {path}")
        if self.crash_point is None or _is_watch(path):
            return False
        return self.crash_point.is_next(f"{method} {path}")


def _is_watch(path: str) -> bool:
    return "watch=true" in path


@asynccontextmanager
async def proxied(endpoint: str, tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpProxy]:
    """A proxy before the server at `endpoint`, for the time of the block; its clients speak plain HTTP."""
    connections: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, OSError):
            await _Connection(proxy, reader, writer).relay()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy = HttpProxy(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", endpoint, tls)
    try:
        yield proxy
    finally:
        server.close()
        waiting = [task for task in connections if task is not None]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


class _Connection:
    def __init__(self, proxy: HttpProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._is_fatal = self._is_watch = False

    async def relay(self) -> None:
        parts = urlsplit(self._proxy.behind)
        from_server, to_server = await asyncio.open_connection(
            parts.hostname, parts.port or 80, ssl=self._proxy.tls
        )
        answers = asyncio.create_task(self._pass_on(from_server))
        try:
            await self._forward(to_server)
        finally:
            self._proxy.watches.discard(self._writer)
            to_server.close()  # first: the wait may be cancelled
            answers.cancel()
            await asyncio.gather(answers, return_exceptions=True)

    async def _forward(self, to_server: asyncio.StreamWriter) -> None:
        while True:
            head = await self._reader.readuntil(b"\r\n\r\n")
            body = await self._reader.readexactly(_length(head))
            method, path, _ = head.split(b"\r\n")[0].decode("latin-1").split(" ")
            await until(lambda: not self._proxy.is_silent, MOST_SILENCE_S)
            await asyncio.sleep(self._proxy.delay_s)
            if self._proxy.resets(method, path):
                to_server.write(head + body[: len(body) // 2])
                await to_server.drain()
                reset(to_server)
                reset(self._writer)
                return
            refusal = self._proxy.refuses(method, path)
            if refusal is not None:
                self._proxy.refused.append(f"{method} {path}")
                self._writer.write(
                    refusal if method != "HEAD" else refusal.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
                )
                await self._writer.drain()
                continue
            self._is_fatal = self._proxy.is_fatal(method, path)
            self._is_watch = _is_watch(path)
            if self._is_watch:
                self._proxy.watches.add(self._writer)
            to_server.write(head + body)
            await to_server.drain()

    async def _pass_on(self, reader: asyncio.StreamReader) -> None:
        is_within = False
        while data := await reader.read(1 << 16):
            if self._is_fatal:
                assert self._proxy.crash_point is not None
                self._proxy.crash_point.crash()
                break
            await until(lambda: not self._proxy.is_silent, MOST_SILENCE_S)
            if is_within and not await self._proxy.passes(data):
                continue
            is_within = self._is_watch  # from the second piece on: the first has the head
            self._writer.write(data)
            await self._writer.drain()
        self._writer.close()


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0
