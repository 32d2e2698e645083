"""A proxy before Postgres that counts statements, and loses the answer to one of them.

It reads the frontend/backend protocol 3.0 (https://www.postgresql.org/docs/current/protocol-message-formats.html)
only so far: what is executed, and when the server is done with it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from imagebatch_testing.crash_point import CrashPoint

SOCKET = ".s.PGSQL.5432"
CHUNK_BYTES = 65536
_EXECUTES = frozenset(b"EQ")
_SSL_REQUEST = (80877103).to_bytes(4, "big")
_PARSE, _QUERY, _READY = ord("P"), ord("Q"), ord("Z")


@dataclass(slots=True)
class PostgresProxy:
    """Before the server on `behind`, for clients of `url`. `statements` are those executed, in order.

    The answer to the `lose`-th statement from now (from 1), or to the next with `lose_words` in it, is lost:
    the server does it, its connection ends, and for `cut_s` seconds nobody is let in. So is the answer at which
    `crash_point` kills the client.
    """

    behind: Path
    folder: Path
    role: str
    statements: list[str] = field(default_factory=list)
    lose: int = 0
    lose_words: str = ""
    cut_s: float = 0.0
    lost: str = ""
    crash_point: CrashPoint | None = None
    _cut: bool = False
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"postgresql://{self.role}@/postgres?host={quote(str(self.folder))}"

    def executed(self, statement: str) -> bool:
        """Take note of a statement; whether its answer is to be lost."""
        self.statements.append(statement)
        if self.crash_point is not None and self.crash_point.is_next(_words(statement)):
            return True
        self.lose -= 1
        if self.lose != 0 and not (self.lose_words and self.lose_words in statement):
            return False
        self.lost, self.lose_words = statement, ""
        return True

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if not self._cut:
                await _Connection(self, reader, writer).relay()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # either side went, or the proxy cut it; asyncio's server logs a cancellation as an error
        finally:
            self._connections.discard(task)
            writer.close()

    def cut(self) -> None:
        """What is to happen when an answer is lost: all connections end, nobody is let in for `cut_s` seconds."""
        if self.crash_point is not None and self.crash_point.at and not self.crash_point.crashed_at:
            self.crash_point.crash()
        if self.cut_s:
            self._cut = True
            asyncio.get_running_loop().call_later(self.cut_s, self._mend)
            for task in self._connections - {asyncio.current_task()}:
                task.cancel()

    def _mend(self) -> None:
        self._cut = False

    async def close(self) -> None:
        ending = list(self._connections)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)


class _Connection:
    def __init__(
        self, proxy: PostgresProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._losing = False

    async def relay(self) -> None:
        """Pass on in both directions until either side, or the answer to be lost, ends it."""
        from_server, to_server = await asyncio.open_unix_connection(self._proxy.behind / SOCKET)
        both = [
            asyncio.create_task(self._from_client(to_server)),
            asyncio.create_task(self._from_server(from_server)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            with suppress(OSError, asyncio.IncompleteReadError):
                await asyncio.gather(*both, return_exceptions=True)
            to_server.close()
        if self._losing:
            self._proxy.cut()

    async def _from_client(self, to_server: asyncio.StreamWriter) -> None:
        to_server.write(await self._startup())
        parsed = ""
        while True:
            head = await self._reader.readexactly(5)
            body = await self._reader.readexactly(int.from_bytes(head[1:], "big") - 4)
            if head[0] == _PARSE:
                parsed = body.split(b"\0")[1].decode()
            if head[0] in _EXECUTES:
                statement = body.split(b"\0")[0].decode() if head[0] == _QUERY else parsed
                self._losing = self._proxy.executed(statement) or self._losing
            to_server.write(head + body)
            await to_server.drain()

    async def _startup(self) -> bytes:
        """The client's first message. What it asks before that, by TCP, is whether it may encrypt: it may not."""
        while True:
            length = await self._reader.readexactly(4)
            body = await self._reader.readexactly(int.from_bytes(length, "big") - 4)
            if body != _SSL_REQUEST:
                return length + body
            self._writer.write(b"N")

    async def _from_server(self, from_server: asyncio.StreamReader) -> None:
        while True:
            head = await from_server.readexactly(5)
            body = await from_server.readexactly(int.from_bytes(head[1:], "big") - 4)
            if self._losing:
                if head[0] == _READY:
                    return
                continue
            self._writer.write(head + body)
            await self._writer.drain()


def _words(statement: str) -> str:
    return f"Postgres: {' '.join(statement.split())[:60]}"


@asynccontextmanager
async def before(database_url: str, folder: Path) -> AsyncIterator[PostgresProxy]:
    """A proxy before the server of a URL that names a folder of sockets."""
    behind = Path(parse_qs(urlsplit(database_url).query)["host"][0])
    proxy = PostgresProxy(behind, folder, str(urlsplit(database_url).username))
    server = await asyncio.start_unix_server(proxy.connected, folder / SOCKET)
    try:
        yield proxy
    finally:
        server.close()
        await proxy.close()
