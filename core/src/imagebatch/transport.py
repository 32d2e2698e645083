"""The one way out to hosts that strangers name: an httpx transport that checks each address it dials.

Images, CSV sources and webhooks use `client`. The parts are in `imagebatch.http`; docs/decisions/0007 has
the reasons. The URL is not rewritten, so TLS names and kept connections stay right, and each redirect is a
new request that is checked again. Proxies of the environment are ignored, for they would resolve the name
themselves.
"""

import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar
from importlib.metadata import version

import h11
import httpx

from imagebatch.guard import AddressPolicy
from imagebatch.http.connection import Connection, StaleConnectionError, Timeouts
from imagebatch.http.dial import Dialler, NameNotFoundError, Origin, Resolve
from imagebatch.http.pool import Pool

__all__ = ["MAX_REDIRECTS", "GuardedTransport", "NameNotFoundError", "client", "retry_after_seconds"]

MAX_REDIRECTS = 5
PROJECT_URL = "https://imagebatch.dev"


def user_agent(url: str = PROJECT_URL) -> str:
    """How we name ourselves: hosts want to know whom to ask (RFC 9110 section 10.1.5). `""` for no URL."""
    name = f"ImageBatch/{version('imagebatch')}"
    return f"{name} (+{url})" if url else name


_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT"})


def client(
    policy: AddressPolicy,
    *,
    connections: int,
    timeout: httpx.Timeout,
    resolve: Resolve | None = None,
    tls: ssl.SSLContext | None = None,
    named: str | None = None,
) -> httpx.AsyncClient:
    """An HTTP client for links of strangers. It raises AddressForbiddenError for closed addresses.

    It keeps no cookies, asks for no encoding, and follows no redirects: httpx would read the whole body of
    each. `named` is the User-Agent. `resolve` and `tls` are for tests.
    """
    return httpx.AsyncClient(
        transport=GuardedTransport(Pool(Dialler(policy, resolve, tls), connections=connections)),
        timeout=timeout,
        max_redirects=MAX_REDIRECTS,
        headers={"User-Agent": named or user_agent(), "Accept-Encoding": "identity"},
        cookies=_NoCookies(),
        trust_env=False,
    )


def retry_after_seconds(headers: httpx.Headers, now: datetime) -> float | None:
    """How long an answer asks to wait (RFC 9110 section 10.2.3); None when it doesn't, or not readably."""
    value = headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        return float(value[:10])
    try:
        when = parsedate_to_datetime(value)
        aware = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, (aware - now).total_seconds())
    except (ValueError, OverflowError):
        return None


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx over a pool whose every connection is dialled by a `Dialler`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        origin, timeouts = Origin.of(request.url), Timeouts.of(request)
        exchange = _Exchange(self._pool, origin, timeouts)
        try:
            head = await exchange.head(request)
        except BaseException:
            exchange.end()
            raise
        return httpx.Response(
            status_code=head.status_code,
            headers=list(head.headers),
            stream=_Body(exchange),
            extensions={"http_version": b"HTTP/" + head.http_version, "reason_phrase": head.reason},
        )

    async def aclose(self) -> None:
        await self._pool.close()


class _Exchange:
    """One request and its answer, on one connection of the pool, or on two when the first was stale."""

    def __init__(self, pool: Pool, origin: Origin, timeouts: Timeouts) -> None:
        self._pool = pool
        self._origin = origin
        self._timeouts = timeouts
        self._connection: Connection | None = None

    async def head(self, request: httpx.Request) -> h11.Response:
        connection = self._connection = await self._pool.acquire(self._origin, self._timeouts)
        try:
            return await self._ask(connection, request)
        except StaleConnectionError:
            if request.method not in _IDEMPOTENT:
                raise httpx.ReadError("the host closed the connection") from None
        # The host closed it while the request was under way, as hosts do with connections that were kept.
        self._connection = None
        connection = self._connection = await self._pool.renew(connection, self._origin, self._timeouts)
        return await self._ask(connection, request)

    async def _ask(self, connection: Connection, request: httpx.Request) -> h11.Response:
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


class _Body(httpx.AsyncByteStream):
    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while piece := await self._exchange.piece():
                yield piece
        finally:
            self._exchange.end()

    async def aclose(self) -> None:
        self._exchange.end()


class _NoCookies(CookieJar):
    """Hosts of strangers set cookies without end; none is kept and none is sent.

    Those of one chain of redirects are `imagebatch.http.cookies`'s.
    """

    def extract_cookies(self, response: object, request: object) -> None: ...

    def add_cookie_header(self, request: object) -> None: ...
