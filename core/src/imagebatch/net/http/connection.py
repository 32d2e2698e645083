"""One HTTP/1.1 connection: bytes of an asyncio transport through h11, within limits.

Made by `dial`, used by `pool` and `transport` for one request at a time. h11 does the framing; this module
feeds it in small pieces, so that no limit is passed by what arrives at once, and stops reading from a host
that sends faster than its bytes are taken.
"""

import asyncio
import re
import select
from collections import deque
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass

import h11
import httpx

from imagebatch.net.http.head import MAX_HEAD_BYTES, HeadBuffer

MAX_HEADERS = 256
MAX_INFORMATIONAL = 8
"""How many 1xx answers may come before the one that counts."""

FEED_BYTES = 256 * 1024
"""What h11 gets at once; a piece of a body is never larger. Smaller ones would go the same way oftener."""

HEAD_PIECE_BYTES = 8 * 1024
"""What is looked at for the end of a head at once: the body behind it is not copied with it."""

MAX_WAITING_BYTES = 256 * 1024
"""With so much not yet taken, reading stops; what one read brings (256 KiB in asyncio) may come on top."""

FREE_CHUNKS = 4096
MIN_CHUNK_BYTES = 32
"""After the first 4096, the chunks of a body must have 32 bytes on average: each costs us 10 µs."""

EVENTS_BETWEEN_TURNS = 64
"""So often other tasks get a turn while a body is taken that is here already."""


_WITHOUT_BODY = frozenset({204, 304})


class StaleConnectionError(Exception):
    """The host closed a kept connection before a byte of the answer came."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds, or None for no limit; httpx's own four."""

    connect: float | None = None
    read: float | None = None
    write: float | None = None
    pool: float | None = None

    @classmethod
    def of(cls, request: httpx.Request) -> "Timeouts":
        return cls(**request.extensions.get("timeout", {}))


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as it is sent: the target as in its first line, and the body at once or in pieces."""

    method: str
    target: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes | AsyncIterable[bytes] = b""

    @classmethod
    def of(cls, request: httpx.Request) -> "Outgoing":
        assert isinstance(request.stream, AsyncIterable)
        try:
            body: bytes | AsyncIterable[bytes] = request.content
        except httpx.RequestNotRead:
            body = request.stream
        return cls(request.method, request.url.raw_path, request.headers.raw, body)


class Connection(asyncio.Protocol):
    """Send, read the head, read the body; then `finish` says whether it may be used again."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._http = _new_http()
        self._asked_by = ""
        self._is_last = False
        self._head = HeadBuffer()
        self._waiting: deque[memoryview] = deque()
        self._waiting_bytes = 0
        self._woken: asyncio.Future[None] | None = None
        self._can_write = True
        self._ended = False
        self._broken: Exception | None = None
        self._requests = 0
        self._heard = False
        self._chunks = 0
        self._body_bytes = 0
        self._left: int | None = None
        self._events = 0
        self.closed = self._loop.create_future()
        self.expiry: asyncio.TimerHandle | None = None

    # -- what asyncio calls ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._is_idle:  # nobody asked: it must not be taken for the next answer
            self.abort()
            return
        self._heard = True
        self._waiting.append(memoryview(data))
        self._waiting_bytes += len(data)
        if self._waiting_bytes >= MAX_WAITING_BYTES:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._broken = self._broken or exc
        if not self.closed.done():
            self.closed.set_result(None)
        self._wake()

    def pause_writing(self) -> None:
        self._can_write = False

    def resume_writing(self) -> None:
        self._can_write = True
        self._wake()

    # -- a request ---------------------------------------------------------------------------------------

    @property
    def is_reused(self) -> bool:
        return self._requests > 1

    async def send(self, request: Outgoing, timeout_s: float | None) -> None:
        """Write the request. What breaks meanwhile is told by reading: an answer may be there already."""
        self._requests += 1
        self._asked_by = request.method
        self._heard = False
        self._chunks = self._body_bytes = 0
        self._left = None
        try:
            head = h11.Request(method=request.method, target=request.target, headers=list(request.headers))
            await self._write(self._http.send(head), timeout_s)
            if isinstance(request.body, bytes):
                await self._write_piece(request.body, timeout_s)
            else:
                async for piece in request.body:
                    await self._write_piece(piece, timeout_s)
            await self._write(self._http.send(h11.EndOfMessage()), timeout_s)
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error

    async def _write_piece(self, piece: bytes, timeout_s: float | None) -> None:
        if piece:
            await self._write(self._http.send(h11.Data(data=piece)), timeout_s)

    async def _write(self, data: bytes, timeout_s: float | None) -> None:
        if not data or self._ended:
            return
        self._transport.write(data)
        while not self._can_write and not self._ended:
            await self._until_woken(timeout_s, httpx.WriteTimeout("the host takes no more bytes"))

    async def read_head(self, timeout_s: float | None) -> h11.Response:
        """The answer's head. Raises StaleConnectionError, ReadError, ReadTimeout, RemoteProtocolError."""
        for _ in range(MAX_INFORMATIONAL + 1):
            event = await self._event(timeout_s)
            if isinstance(event, h11.Response):
                _check_head(event)
                self._left = self._length_of_body(event)
                self._is_last = _says_close(event)
                return event
            if not isinstance(event, h11.InformationalResponse):
                break
            _check_headers(event)
        else:
            raise httpx.RemoteProtocolError(f"more than {MAX_INFORMATIONAL} answers of kind 1xx")
        raise httpx.RemoteProtocolError("no answer came")

    async def read_body(self, timeout_s: float | None) -> bytes:
        """The next piece of the body, at most FEED_BYTES; b"" after its last one."""
        if self._left is not None:
            return await self._read_known(self._left, timeout_s)
        event = await self._event(timeout_s)
        if isinstance(event, h11.Data):
            self._count(event)
            return bytes(event.data)
        return b""

    def _length_of_body(self, head: h11.Response) -> int | None:
        """How long the body is that h11 need not see, for its head says so; None for every other.

        h11 has made sure that a length is one. By way of it each piece would be copied twice more.
        """
        is_plain = self._asked_by == "GET" and head.status_code not in _WITHOUT_BODY
        length = next((value for name, value in head.headers if name == b"content-length"), None)
        return int(length) if is_plain and length is not None else None

    async def _read_known(self, left: int, timeout_s: float | None) -> bytes:
        await self._take_turns()
        if not left:
            return b""
        while not self._waiting:
            if self._broken is not None:
                raise self._lost() from self._broken
            if self._ended:
                raise httpx.RemoteProtocolError(f"peer closed connection {left} bytes before the body's end")
            await self._until_woken(timeout_s, httpx.ReadTimeout("the host stopped sending"))
        piece = self._take(min(left, FEED_BYTES))
        self._left = left - len(piece)
        return bytes(piece)

    def _count(self, data: h11.Data) -> None:
        self._chunks += data.chunk_start
        self._body_bytes += len(data.data)
        if (self._chunks - FREE_CHUNKS) * MIN_CHUNK_BYTES > self._body_bytes:
            raise httpx.RemoteProtocolError("the body comes in crumbs")

    # -- the end of a request ----------------------------------------------------------------------------

    def finish(self) -> bool:
        """Make ready for the next request; False when the connection must not be used again.

        It may be when the answer is here to its last byte and nothing came behind it.
        """
        if self._ended:
            return False
        self._take_rest()
        if self._waiting or self._http.trailing_data[0] or self._transport.is_closing():
            return False
        if self._left is not None:
            if self._left or self._is_last:
                return False
            self._http = _new_http()
            return True
        try:
            self._http.start_next_cycle()
        except h11.LocalProtocolError:
            return False
        return True

    def _take_rest(self) -> None:
        """Skip what is left of a body, as far as it is here: the page of a redirect or an error."""
        while self._left and self._waiting:
            self._left -= len(self._take(self._left))
        if self._left is not None:
            return
        for _ in range(EVENTS_BETWEEN_TURNS):
            if self._http.their_state is not h11.SEND_BODY:
                return
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError:
                return
            if event is h11.NEED_DATA and not self._feed():
                return

    def is_usable(self) -> bool:
        """Whether a kept connection can take a request: the host neither closed it nor sent anything."""
        return not (self._ended or self._transport.is_closing() or self._has_something_to_read())

    def _has_something_to_read(self) -> bool:
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def abort(self) -> None:
        """Close at once; `closed` is done when it is. A body that is being read does not end well by it."""
        self._broken = self._broken or ConnectionAbortedError()
        self._transport.abort()

    # -- bytes into events ---------------------------------------------------------------------------------

    @property
    def _is_idle(self) -> bool:
        return self._http.our_state is h11.IDLE

    async def _event(self, timeout_s: float | None) -> object:
        """What h11 makes of the next bytes."""
        await self._take_turns()
        while (event := self._parsed()) is h11.NEED_DATA:
            while not self._feed():
                await self._until_woken(timeout_s, httpx.ReadTimeout("the host stopped sending"))
        return event

    async def _take_turns(self) -> None:
        self._events += 1
        if self._events % EVENTS_BETWEEN_TURNS == 0:
            await asyncio.sleep(0)

    def _parsed(self) -> object:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(_without_quotes(str(error))) from error

    def _feed(self) -> bool:
        """Give h11 more, or the end; False when there is nothing yet. Raises when the connection broke."""
        if self._waiting:
            if self._http.their_state is h11.SEND_RESPONSE:
                self._feed_head()
            else:
                self._http.receive_data(self._take(FEED_BYTES))  # type: ignore[arg-type]  # it appends them
            return True
        if not self._ended:
            return False
        if not self._heard and self.is_reused:
            raise StaleConnectionError
        if self._broken is not None:
            raise self._lost() from self._broken
        self._http.receive_data(self._head.take()[0])
        self._http.receive_data(b"")
        return True

    def _lost(self) -> httpx.ReadError:
        return httpx.ReadError(f"the connection broke ({type(self._broken).__name__})")

    def _feed_head(self) -> None:
        """A head is given mended and whole."""
        piece = self._waiting[0][:HEAD_PIECE_BYTES]
        self._head.add(piece)
        if self._head.is_too_long:
            raise httpx.RemoteProtocolError(f"more than {MAX_HEAD_BYTES} bytes of headers")
        if self._head.is_complete:
            head, rest = self._head.take()
            self._http.receive_data(head)
            self._take(len(piece) - len(rest))
        else:
            self._take(len(piece))

    def _take(self, size: int) -> memoryview:
        """At most `size` of the bytes that wait."""
        first = self._waiting[0]
        if len(first) > size:
            self._waiting[0] = first[size:]
        else:
            self._waiting.popleft()
        taken = first[:size]
        self._waiting_bytes -= len(taken)
        if self._waiting_bytes < MAX_WAITING_BYTES:
            self._transport.resume_reading()
        return taken

    async def _until_woken(self, timeout_s: float | None, late: httpx.TimeoutException) -> None:
        woken = self._woken = self._loop.create_future()
        # A timer alone: asyncio.timeout costs twice as much, and this is done several times a request.
        timer = None if timeout_s is None else self._loop.call_later(timeout_s, _give_up, woken, late)
        try:
            await woken
        finally:
            self._woken = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)


def _new_http() -> h11.Connection:
    return h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)


def _give_up(woken: asyncio.Future[None], late: Exception) -> None:
    if not woken.done():
        woken.set_exception(late)


def _without_quotes(text: str) -> str:
    """h11's words without the bytes that it quotes, which may be a whole head."""
    return re.split(r":?\s*\(?(?:bytearray|memoryview|\bb['\"])", text, maxsplit=1)[0][:100]


def _check_head(head: h11.Response) -> None:
    _check_headers(head)
    names = {name for name, _ in head.headers}
    if b"transfer-encoding" in names and b"content-length" in names:
        # Two who frame it differently read two different answers (RFC 9112 section 6.3).
        raise httpx.RemoteProtocolError("both Transfer-Encoding and Content-Length")


def _says_close(head: h11.Response) -> bool:
    """Whether the connection ends with this answer (RFC 9112 section 9.3)."""
    options = b",".join(value for name, value in head.headers if name == b"connection").lower()
    return head.http_version < b"1.1" or b"close" in {option.strip() for option in options.split(b",")}


def _check_headers(head: h11.Response | h11.InformationalResponse) -> None:
    if len(head.headers) > MAX_HEADERS:
        raise httpx.RemoteProtocolError(f"more than {MAX_HEADERS} headers")
    if sum(len(name) + len(value) for name, value in head.headers) > MAX_HEAD_BYTES:
        raise httpx.RemoteProtocolError(f"more than {MAX_HEAD_BYTES} bytes of headers")
