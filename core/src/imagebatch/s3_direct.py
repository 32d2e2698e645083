"""Puts of small objects straight from an event loop: signed by the SDK's signer, sent by `imagebatch.http`.

Used where puts are many, by the jobrunner: the SDK takes a thread and urllib3 for each. What is not a plain
success at once is not judged here. Whoever asked puts the object again by `S3Store`, which tries as often and
calls failures as for every other object: a put without a condition may be repeated.
"""

import asyncio
from typing import Self

import httpx

from imagebatch import guard
from imagebatch.errors import AddressForbiddenError, StoreError
from imagebatch.http.connection import Outgoing, Timeouts
from imagebatch.http.dial import Dialler, Origin
from imagebatch.http.exchange import Exchange
from imagebatch.http.pool import Pool
from imagebatch.s3 import Identity, S3Store, SignedPut
from imagebatch.store import Media

MAX_BYTES = 1024 * 1024
"""Hashing a longer object would hold up the loop: that is for threads."""

IDENTITY_S = 30.0
"""So long credentials are used before their provider is asked again: files and services change them."""

_TIMEOUTS = Timeouts(connect=5.0, read=30.0, write=30.0)


class DirectPuts:
    """An async context manager; at most `connections` puts at once."""

    def __init__(self, store: S3Store, *, connections: int) -> None:
        self._store = store
        # The endpoint is the administrator's own word, as is what the SDK dials.
        self._pool = Pool(Dialler(guard.WIDEST), connections=connections)
        self._identity: Identity | None = None
        self._asked_at = 0.0
        self._asking = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    async def put(self, key: str, data: bytes, media: Media) -> bool:
        """Whether the object is stored for certain; if not, put it by the store, which says why."""
        if not 0 < len(data) <= MAX_BYTES:
            return False
        try:
            return await self._is_stored(
                self._store.signed_put(key, data, media, await self._current()), data
            )
        except (httpx.HTTPError, AddressForbiddenError, StoreError):
            return False

    async def _is_stored(self, put: SignedPut, data: bytes) -> bool:
        headers = [(name.encode(), value.encode()) for name, value in put.headers.items()]
        exchange = Exchange(self._pool, Origin(put.url.scheme, put.host, put.port), _TIMEOUTS)
        try:
            head = await exchange.head(Outgoing("PUT", put.url.path.encode(), headers, data))
            while await exchange.piece():
                pass
        finally:
            exchange.end()
        return head.status_code == httpx.codes.OK

    async def _current(self) -> Identity:
        """Raises StoreError when there is none."""
        if self._identity is None or self._is_old(self._identity):
            async with self._asking:
                if self._identity is None or self._is_old(self._identity):
                    self._asked_at = asyncio.get_running_loop().time()
                    self._identity = await asyncio.to_thread(self._store.identity)
        return self._identity

    def _is_old(self, identity: Identity) -> bool:
        return identity.is_expired or asyncio.get_running_loop().time() > self._asked_at + IDENTITY_S
