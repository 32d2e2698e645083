"""The parent's end of the socket to a codec process: a frame out, a frame in, one at a time.

Used by `process`. A picture costs one `sendmsg` of the file where it lies and, as answers fit the buffer, one
`recv`: asyncio's streams would copy both several times, in pieces of a pipe's size, with a turn of the loop
for each.
"""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple

from imagebatch_jobrunner.codec import wire

_BUFFER_BYTES = 256 * 1024
"""What one `recv` takes at most; the rest of a longer body is received into a buffer of its own."""

_SOCKET_BYTES = 1 << 20
"""What is asked of the system for either direction; it may give less."""


class Frame(NamedTuple):
    """What a codec process sends."""

    header: dict[str, Any]
    body: bytes


class Channel(asyncio.BufferedProtocol):
    """It begins by waiting for READY. A frame that comes unasked makes the channel useless."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._buffer = bytearray(_BUFFER_BYTES)
        self._filled = 0
        self._long: _LongBody | None = None
        self._broken: Exception | None = None
        self._answer: asyncio.Future[Frame] | None = asyncio.get_running_loop().create_future()

    @classmethod
    async def over(cls, end: socket.socket) -> "Channel":
        """The channel over one end of `pair`."""
        _, channel = await asyncio.get_running_loop().create_connection(lambda: cls(end), sock=end)
        return channel

    def close(self) -> None:
        """The process sees its standard input end."""
        self._transport.abort()

    async def frame(self) -> Frame:
        """The frame that is awaited. Raises EOFError, OSError or WireError."""
        assert self._answer is not None
        try:
            return await self._answer
        finally:
            self._answer = None

    async def ask(self, header: Mapping[str, Any], data: bytes) -> Frame:
        """Send a frame, and wait for the answer. Raises EOFError, OSError or WireError."""
        if self._broken is not None:
            raise self._broken
        self._answer = asyncio.get_running_loop().create_future()
        self._send(wire.frame_head(header, len(data)), data)
        return await self.frame()

    def _send(self, head: bytes, data: bytes) -> None:
        try:
            sent = self._socket.sendmsg([head, data])
        except BlockingIOError:
            sent = 0
        if sent < len(head):
            self._transport.write(head[sent:])
        rest = memoryview(data)[max(0, sent - len(head)) :]
        if rest:
            self._transport.write(rest)

    # -- what asyncio calls ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, _: int) -> memoryview:
        return self._long.rest() if self._long else memoryview(self._buffer)[self._filled :]

    def buffer_updated(self, size: int) -> None:
        try:
            frame = self._after(size)
        except wire.WireError as error:
            self._fail(error)
            return
        if frame is None:
            return
        if self._answer is None or self._answer.done():
            self._fail(wire.WireError("a frame came that nobody asked for"))
            return
        self._answer.set_result(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or EOFError("the codec process closed its end"))

    # -- bytes into frames -------------------------------------------------------------------------------

    def _after(self, size: int) -> Frame | None:
        """The frame that `size` more bytes complete. Raises WireError."""
        if self._long is not None:
            return self._after_more_of(self._long, size)
        self._filled += size
        if self._filled < wire.LENGTHS.size:
            return None
        header_bytes, body_bytes = wire.lengths(self._buffer[: wire.LENGTHS.size])
        start = wire.LENGTHS.size + header_bytes
        if self._filled < start:
            return None
        header = wire.header(self._buffer[wire.LENGTHS.size : start])
        if start + body_bytes > len(self._buffer):
            self._long = _LongBody(header, body_bytes, memoryview(self._buffer)[start : self._filled])
            return None
        return self._whole(header, start, start + body_bytes)

    def _whole(self, header: dict[str, Any], start: int, end: int) -> Frame | None:
        if self._filled < end:
            return None
        if self._filled > end:
            raise wire.WireError("a frame is longer than its lengths")
        self._filled = 0
        return Frame(header, bytes(memoryview(self._buffer)[start:end]))

    def _after_more_of(self, body: "_LongBody", size: int) -> Frame | None:
        body.filled += size
        if body.filled < len(body.data):
            return None
        self._long, self._filled = None, 0
        return Frame(body.header, bytes(body.data))

    def _fail(self, error: Exception) -> None:
        self._broken = self._broken or error
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(self._broken)
            self._answer.exception()  # whoever awaited it may be gone
        self._transport.abort()


class _LongBody:
    """A body that the buffer has no room for."""

    def __init__(self, header: dict[str, Any], size: int, start: memoryview) -> None:
        self.header = header
        self.data = bytearray(size)
        self.data[: len(start)] = start
        self.filled = len(start)

    def rest(self) -> memoryview:
        return memoryview(self.data)[self.filled :]


def pair() -> "tuple[socket.socket, socket.socket]":
    """Two ends: the parent's, and the one that becomes a codec process's standard input and output."""
    ends = socket.socketpair()
    for end in ends:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BYTES)
    ends[0].setblocking(False)
    return ends
