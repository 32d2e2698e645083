"""One HTTP/1.1 connection: a request goes out, its answer comes back through h11, within limits.

`dial` makes connections, `pool` keeps them, `exchange` uses each for one request at a time. h11 parses. It
gets small pieces, so that what arrives at once can't exceed a limit unnoticed.
"""

import asyncio
import re

import h11
import httpx

from imagebatch.net.http.head import MAX_HEAD_BYTES, HeadBuffer, check_fields, check_head, says_close
from imagebatch.net.http.request import Outgoing
from imagebatch.net.http.wire import Wire

MAX_INFORMATIONAL = 8
"""How many 1xx answers may come before the one that counts. Go's client allows 5."""

FEED_BYTES = 256 * 1024
"""What h11 gets at once, and the longest piece of a body: what asyncio reads from a socket at once."""

HEAD_PIECE_BYTES = 8 * 1024
"""How much is searched for the end of a head at once. Most heads are shorter, and what follows is copied."""

FREE_CHUNKS = 4096
MIN_CHUNK_BYTES = 32
"""After the first 4096, the chunks of a body must have 32 bytes on average: each costs us 10 µs."""

EVENTS_BETWEEN_TURNS = 64
"""Other tasks get a turn after so many pieces of a body that has arrived already: 64 chunks take 0.6 ms."""

_WITHOUT_BODY = frozenset({204, 304})


class StaleConnectionError(Exception):
    """The host closed a kept connection before a byte of the answer came."""


class Connection(Wire):
    """Send, read the head, read the body; then `finish` says whether it may be used again."""

    def __init__(self) -> None:
        super().__init__()
        self._http = _new_http()
        self._head = HeadBuffer()
        self._method = ""
        self._requests = 0
        self._is_last = False
        self._left: int | None = None
        self._chunks = 0
        self._body_bytes = 0
        self._events = 0

    def data_received(self, data: bytes) -> None:
        if self._http.our_state is h11.IDLE:  # nobody asked: it must not be taken for the next answer
            self.abort()
            return
        super().data_received(data)

    # -- the request -------------------------------------------------------------------------------------

    async def send(self, request: Outgoing, timeout_s: float | None) -> None:
        """Write the request. A connection that breaks meanwhile raises only when its answer is read, for
        hosts answer before they have read a whole body.
        """
        self._requests += 1
        self._method = request.method
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

    # -- the answer --------------------------------------------------------------------------------------

    async def read_head(self, timeout_s: float | None) -> h11.Response:
        """The answer's head. Raises StaleConnectionError, ReadError, ReadTimeout, RemoteProtocolError."""
        for _ in range(MAX_INFORMATIONAL + 1):
            event = await self._event(timeout_s)
            if isinstance(event, h11.Response):
                check_head(event)
                self._left = self._length_of_body(event)
                self._is_last = says_close(event)
                return event
            if not isinstance(event, h11.InformationalResponse):
                break
            check_fields(event)
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
        """How many bytes of body are read without h11; None when h11 has to find the body's end.

        h11 has checked Content-Length when it read the head. It would copy each piece of the body twice more.
        """
        is_plain = self._method == "GET" and head.status_code not in _WITHOUT_BODY
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

    # -- bytes into h11's events ---------------------------------------------------------------------------

    async def _event(self, timeout_s: float | None) -> object:
        """h11's next event, after as many bytes as it takes."""
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
        """Give h11 more, or the end; False when nothing arrived yet. Raises when the connection broke."""
        if self._waiting:
            if self._http.their_state is h11.SEND_RESPONSE:
                self._feed_head()
            else:
                self._http.receive_data(self._take(FEED_BYTES))  # type: ignore[arg-type]  # it appends them
            return True
        if not self._ended:
            return False
        if not self._heard and self._requests > 1:
            raise StaleConnectionError
        if self._broken is not None:
            raise self._lost() from self._broken
        self._http.receive_data(self._head.take()[0])
        self._http.receive_data(b"")
        return True

    def _feed_head(self) -> None:
        """Collect the head; when it is whole, give it to h11 mended."""
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

    # -- ready for the next request --------------------------------------------------------------------------

    def finish(self) -> bool:
        """Make ready for the next request; False when the connection must not be used again.

        It may be used again when the answer is here to its last byte and nothing came behind it.
        """
        if self._ended:
            return False
        self._skip_rest()
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

    def _skip_rest(self) -> None:
        """Skip what is left of a body, as far as it has arrived: the page of a redirect or an error."""
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


def _new_http() -> h11.Connection:
    return h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)


def _without_quotes(text: str) -> str:
    """h11's words without the bytes that it quotes, which may be a whole head."""
    return re.split(r":?\s*\(?(?:bytearray|memoryview|\bb['\"])", text, maxsplit=1)[0][:100]
