"""One request and its answer: which connection they use, and when the request is sent again.

Used by `imagebatch.net.transport`.
"""

import h11
import httpx

from imagebatch.net.http.connection import Connection, StaleConnectionError
from imagebatch.net.http.dial import Origin
from imagebatch.net.http.pool import Pool
from imagebatch.net.http.request import Outgoing, Timeouts

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT"})
"""These may be sent twice with the same result (RFC 9110 section 9.2.2)."""


class Exchange:
    """One request and its answer, on one connection of the pool, or on two when the first was stale."""

    def __init__(self, pool: Pool, origin: Origin, timeouts: Timeouts) -> None:
        self._pool = pool
        self._origin = origin
        self._timeouts = timeouts
        self._connection: Connection | None = None

    async def head(self, request: Outgoing) -> h11.Response:
        """Send the request, and read its answer's head. Raises what `Pool.acquire` and `Connection` raise."""
        connection = self._connection = await self._pool.acquire(self._origin, self._timeouts)
        try:
            return await self._ask(connection, request)
        except StaleConnectionError:
            if request.method not in _IDEMPOTENT:
                raise httpx.ReadError("the host closed the connection") from None
        # Hosts close kept connections when they like; this one did it while the request was under way.
        self._connection = None
        connection = self._connection = await self._pool.renew(connection, self._origin, self._timeouts)
        return await self._ask(connection, request)

    async def _ask(self, connection: Connection, request: Outgoing) -> h11.Response:
        await connection.send(request, self._timeouts.write)
        return await connection.read_head(self._timeouts.read)

    async def piece(self) -> bytes:
        """The next piece of the body; b"" after its end."""
        if self._connection is None:
            return b""
        return await self._connection.read_body(self._timeouts.read)

    def end(self) -> None:
        """Give the connection back, whatever became of the request."""
        if self._connection is not None:
            self._pool.release(self._connection, self._origin)
            self._connection = None
