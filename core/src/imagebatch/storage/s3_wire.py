"""HTTP to S3, as little of it as a plain answer takes.

Used by `s3_direct`, for the administrator's own endpoint alone: strangers' hosts are `imagebatch.net.http`'s,
which reads whatever HTTP allows. Here an answer has a status line, header lines and a length. Every other is
an UnsureError, and so is each failure: the SDK asks again then.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Self

import httpx

from imagebatch.errors import AddressForbiddenError
from imagebatch.net import guard
from imagebatch.net.http.dial import Dialler, Origin

CONNECT_S = 5.0
SILENCE_S = 30.0
"""How long S3 may send nothing before an answer is given up."""

MOST_UNPLAIN = 3
"""After so many answers in a row that are not plain, none is asked for: all would be sent twice."""

KEEP_S = 15.0
MAX_HEAD_BYTES = 16 * 1024

_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9])(?: [^\r\n]*)?")
_FIELD = re.compile(rb"([-!#$%&'*+.^_`|~0-9a-zA-Z]+):[ \t]*([^\x00\r\n]*)")
_LENGTH = re.compile(rb"[0-9]{1,15}")


class UnsureError(Exception):
    """What became of the request is not certain, or its answer is not plain."""


class UnplainError(UnsureError):
    """An answer in a form that is not read here."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Names of headers are in small letters."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Wires:
    """The connections to one host: an async context manager; at most so many are open."""

    def __init__(self, origin: Origin, *, connections: int) -> None:
        self._origin = origin
        # The administrator names the endpoint, so it may have any address, as it may for the SDK.
        self._dialler = Dialler(guard.WIDEST)
        self._room = asyncio.Semaphore(connections)
        self._idle: list[_Wire] = []
        self._unplain = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for wire in self._idle:
            wire.close()
        await asyncio.gather(*(wire.closed for wire in self._idle))
        self._dialler.close()

    async def ask(self, head: bytes, body: bytes = b"") -> Answer:
        """Send a request, and return its answer. Raises UnsureError."""
        if self._unplain >= MOST_UNPLAIN:
            raise UnsureError("this server's answers are not plain")
        async with self._room:
            wire = self._kept()
            if wire is not None:
                try:
                    return await self._asked(wire, head, body)
                except _StaleError:
                    pass  # closed while the request was under way, as servers do with kept connections
            return await self._asked(await self._new(), head, body)

    def _kept(self) -> "_Wire | None":
        while self._idle:
            wire = self._idle.pop()
            if wire.is_usable:
                return wire
            wire.close()
        return None

    async def _new(self) -> "_Wire":
        try:
            return await self._dialler.open(self._origin, _Wire, CONNECT_S)
        except (httpx.HTTPError, AddressForbiddenError) as error:
            raise UnsureError(str(error)) from error

    async def _asked(self, wire: "_Wire", head: bytes, body: bytes) -> Answer:
        try:
            answer = await wire.ask(head, body)
        except BaseException as error:
            self._unplain += isinstance(error, UnplainError)
            wire.close()
            raise
        self._unplain = 0
        self._idle.append(wire)
        return answer


class _StaleError(UnsureError):
    """A kept connection was closed before a byte of the answer came."""


class _Wire(asyncio.Protocol):
    """One connection, for one request at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._answer: asyncio.Future[Answer] | None = None
        self._silence: asyncio.TimerHandle | None = None
        self._data = bytearray()
        self._head: tuple[int, dict[bytes, bytes]] | None = None
        self._end = 0
        self._is_head = False
        self._is_last = False
        self._answers = 0
        self._used_at = 0.0

    @property
    def is_usable(self) -> bool:
        is_fresh = self._loop.time() < self._used_at + KEEP_S
        return is_fresh and not self._is_last and not self._transport.is_closing()

    async def ask(self, head: bytes, body: bytes) -> Answer:
        self._answer = self._loop.create_future()
        self._is_head = head.startswith(b"HEAD ")
        self._transport.writelines([head, body])
        self._wait()
        try:
            return await self._answer
        finally:
            self._answer = self._head = None
            if self._silence is not None:
                self._silence.cancel()
            self._used_at = self._loop.time()

    def close(self) -> None:
        self._transport.abort()

    def _wait(self) -> None:
        if self._silence is not None:
            self._silence.cancel()
        self._silence = self._loop.call_later(SILENCE_S, self._fail, UnsureError("S3 is silent"))

    # -- what asyncio calls ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if (
            self._answer is None or self._answer.done()
        ):  # nobody asked: it must not be taken for the next answer
            self.close()
            return
        self._data += data
        try:
            if self._head is None:
                self._read_head()
        except UnplainError as error:
            self._fail(error)
            return
        if self._head is None or len(self._data) < self._end:
            self._wait()
        elif len(self._data) > self._end:
            self._fail(UnsureError("more came than the answer"))
        else:
            self._finish(*self._head)

    def connection_lost(self, _: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)
        if self._answer is not None and not self._answer.done():
            is_stale = self._answers > 0 and not self._data
            kind = _StaleError if is_stale else UnsureError
            self._answer.set_exception(kind("the connection broke"))

    # -- bytes into an answer ----------------------------------------------------------------------------

    def _read_head(self) -> None:
        end = self._data.find(_END)
        if end < 0:
            if len(self._data) > MAX_HEAD_BYTES:
                raise UnplainError("the head is long")
            return
        status, headers = _parsed(bytes(self._data[:end]))
        length = 0 if self._is_head else _length(headers)
        self._is_last = headers.get(b"connection", b"keep-alive").lower() != b"keep-alive"
        del self._data[: end + len(_END)]
        self._head, self._end = (status, headers), length

    def _finish(self, status: int, headers: dict[bytes, bytes]) -> None:
        assert self._answer is not None
        self._answers += 1
        body = bytes(self._data)
        self._data.clear()
        self._answer.set_result(Answer(status, headers, body))

    def _fail(self, error: UnsureError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.close()


def _parsed(head: bytes) -> tuple[int, dict[bytes, bytes]]:
    """Status and headers. Raises UnplainError for whatever is not the plainest way to write them."""
    first, *lines = head.split(b"\r\n")
    status = _STATUS.fullmatch(first)
    fields = [_FIELD.fullmatch(line) for line in lines]
    if status is None or None in fields:
        raise UnplainError("the head is none")
    names = [field[1].lower() for field in fields if field]
    if names.count(b"content-length") > 1:
        raise UnplainError("two lengths")
    return int(status[1]), {name: field[2] for name, field in zip(names, fields, strict=True) if field}


def _length(headers: dict[bytes, bytes]) -> int:
    length = headers.get(b"content-length", b"")
    if b"transfer-encoding" in headers or not _LENGTH.fullmatch(length):
        raise UnplainError("the answer has no length")
    return int(length)
