"""The socket side of a connection: bytes in and out, with limits on what waits, and no HTTP.

`Wire` is what asyncio calls. `connection` builds HTTP on it.
"""

import asyncio
import select
from collections import deque

import httpx

MAX_WAITING_BYTES = 256 * 1024
"""With this much not yet taken, reading stops. asyncio reads 256 KiB at once, so twice as much may wait."""


class Wire(asyncio.Protocol):
    """Keeps what arrives until it is taken, and stops a host that sends faster than that."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[memoryview] = deque()
        self._waiting_bytes = 0
        self._woken: asyncio.Future[None] | None = None
        self._can_write = True
        self._ended = False
        self._broken: Exception | None = None
        self._heard = False
        self.closed = self._loop.create_future()
        self.expiry: asyncio.TimerHandle | None = None

    # -- what asyncio calls ----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
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

    # -- bytes in and out --------------------------------------------------------------------------------

    async def _write(self, data: bytes, timeout_s: float | None) -> None:
        if not data or self._ended:
            return
        self._transport.write(data)
        while not self._can_write and not self._ended:
            await self._until_woken(timeout_s, httpx.WriteTimeout("the host takes no more bytes"))

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
        """Wait until something happens on the socket. Raises `late` when nothing did in time."""
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

    # -- the end -------------------------------------------------------------------------------------------

    def is_usable(self) -> bool:
        """Whether a kept connection can take a request: the host neither closed it nor sent anything."""
        return not (self._ended or self._transport.is_closing() or self._has_something_to_read())

    def _has_something_to_read(self) -> bool:
        """Ask the socket: the event loop may not have come to read it yet."""
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def abort(self) -> None:
        """Close at once; `closed` is done when it is. A body that is being read ends with an error."""
        self._broken = self._broken or ConnectionAbortedError()
        self._transport.abort()

    def _lost(self) -> httpx.ReadError:
        return httpx.ReadError(f"the connection broke ({type(self._broken).__name__})")


def _give_up(woken: asyncio.Future[None], late: Exception) -> None:
    if not woken.done():
        woken.set_exception(late)
