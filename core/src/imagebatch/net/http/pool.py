"""The open connections, never more than a maximum: each serves one request, or is kept for the next one.

Used by `exchange`. A connection is kept only when its answer was read to the end. It is never used for
another origin, even at the same address, for its TLS certificate was checked for one name.
"""

import asyncio

import httpx

from imagebatch.net.http.connection import Connection
from imagebatch.net.http.dial import Dialler, Origin
from imagebatch.net.http.request import Timeouts

KEEP_S = 15.0
"""How long a connection is kept. Hosts close theirs after 5 s (Apache) to 75 s (nginx) by default."""


class Pool:
    """At most `connections` are open, counting those in use, those kept, and those being dialled."""

    def __init__(self, dialler: Dialler, *, connections: int, keep_s: float = KEEP_S) -> None:
        self._dialler = dialler
        self._keep_s = keep_s
        self._max = connections
        self._room = asyncio.Semaphore(connections)
        self._used: set[Connection] = set()
        self._kept: dict[Connection, Origin] = {}
        self._dialled = 0

    @property
    def used(self) -> int:
        """How many connections serve a request now."""
        return len(self._used)

    @property
    def kept(self) -> int:
        return len(self._kept)

    @property
    def open(self) -> int:
        """How many connections are in use, kept, or being dialled."""
        return len(self._used) + len(self._kept) + self._dialled

    async def acquire(self, origin: Origin, timeouts: Timeouts) -> Connection:
        """A connection to `origin`, kept or new; `release` it. Raises PoolTimeout, or as `Dialler` does."""
        if self._room.locked():
            await self._until_room(timeouts.pool)
        else:
            await self._room.acquire()
        try:
            connection = self._kept_for(origin) or await self._new(origin, timeouts)
        except BaseException:
            self._room.release()
            raise
        self._used.add(connection)
        return connection

    async def _until_room(self, timeout_s: float | None) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._room.acquire()
        except TimeoutError:
            raise httpx.PoolTimeout("no connection was free in time") from None

    async def renew(self, stale: Connection, origin: Origin, timeouts: Timeouts) -> Connection:
        """A new connection instead of one that the host closed. `stale` is released, whatever this raises."""
        self._used.discard(stale)
        stale.abort()
        try:
            connection = await self._new(origin, timeouts)
        except BaseException:
            self._room.release()
            raise
        self._used.add(connection)
        return connection

    def release(self, connection: Connection, origin: Origin) -> None:
        """Keep the connection when it can be used again, else close it. A second call does nothing."""
        if connection not in self._used:
            return
        self._used.remove(connection)
        self._room.release()
        if connection.finish():
            self._keep(connection, origin)
        else:
            connection.abort()

    async def close(self) -> None:
        """Close every connection; requests under way end with an error."""
        every = [*self._used, *self._kept]
        for connection in every:
            connection.abort()
        await asyncio.gather(*(connection.closed for connection in every))
        self._dialler.close()

    async def _new(self, origin: Origin, timeouts: Timeouts) -> Connection:
        # The oldest kept connections make room for the new one.
        while self._kept and self.open >= self._max:
            self._drop(next(iter(self._kept)))
        self._dialled += 1
        try:
            connection = await self._dialler.dial(origin, timeouts.connect)
        finally:
            self._dialled -= 1
        connection.closed.add_done_callback(lambda _: self._forget(connection))
        return connection

    def _kept_for(self, origin: Origin) -> Connection | None:
        """The kept connection that was used last, for the host is least likely to have closed that one."""
        for connection in [one for one, its in reversed(self._kept.items()) if its == origin]:
            self._forget(connection)
            if connection.is_usable():
                return connection
            connection.abort()
        return None

    def _keep(self, connection: Connection, origin: Origin) -> None:
        self._kept[connection] = origin
        loop = asyncio.get_running_loop()
        connection.expiry = loop.call_later(self._keep_s, self._drop, connection)

    def _drop(self, connection: Connection) -> None:
        self._forget(connection)
        connection.abort()

    def _forget(self, connection: Connection) -> None:
        if self._kept.pop(connection, None) is not None and connection.expiry is not None:
            connection.expiry.cancel()
