"""The one way out to hosts that strangers name: an httpx transport that checks each address it dials.

Images, CSV sources and webhooks use `client`. The parts are in `imagebatch.net.http`; docs/decisions/0007 has
the reasons. The URL is not rewritten, so TLS names and kept connections stay right, and each redirect is a
new request that is checked again. Proxies of the environment are ignored, for they would resolve the name
themselves.
"""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.cookiejar import CookieJar
from importlib.metadata import version
from typing import Self

import httpx

from imagebatch.net.guard import AddressPolicy
from imagebatch.net.http.connection import Outgoing, Timeouts
from imagebatch.net.http.dial import Dialler, NameNotFoundError, Origin, Resolve
from imagebatch.net.http.exchange import Exchange
from imagebatch.net.http.pool import Pool

__all__ = ["MAX_REDIRECTS", "GuardedTransport", "NameNotFoundError", "client", "retry_after_seconds"]

MAX_REDIRECTS = 5
PROJECT_URL = "https://imagebatch.dev"


def user_agent(url: str = PROJECT_URL) -> str:
    """How we name ourselves: hosts want to know whom to ask (RFC 9110 section 10.1.5). `""` for no URL."""
    name = f"ImageBatch/{version('imagebatch')}"
    return f"{name} (+{url})" if url else name


def client(
    policy: AddressPolicy,
    *,
    connections: int,
    timeout: httpx.Timeout,
    resolve: Resolve | None = None,
    tls: ssl.SSLContext | None = None,
    named: str | None = None,
) -> "GuardedClient":
    """An HTTP client for links of strangers. It raises AddressForbiddenError for closed addresses.

    It keeps no cookies, asks for no encoding, and follows no redirects: httpx would read the whole body of
    each. `named` is the User-Agent. `resolve` and `tls` are for tests.
    """
    return GuardedClient(
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


class GuardedClient(httpx.AsyncClient):
    """httpx's client with a shorter way for who asks often."""

    def requests(self, headers: Mapping[str, str]) -> Callable[[str], httpx.Request]:
        """What makes a GET of a link, as `build_request` would with these headers, which are merged once."""
        merged = httpx.Headers(self.headers)
        merged.update(headers)
        timeout = self.timeout.as_dict()

        def request(link: str) -> httpx.Request:
            return httpx.Request("GET", link, headers=merged, extensions={"timeout": timeout})

        return request

    async def ask(self, request: httpx.Request) -> httpx.Response:
        """As `send(request, stream=True)`, without what it does for logins, cookies and time spent.

        That would cost 0.1 ms more, and none of it is ours: links with passwords are refused, cookies are a
        chain's own.
        """
        response = await self._transport.handle_async_request(request)
        response.request = request
        if response.has_redirect_location:
            try:
                response.next_request = self._build_redirect_request(request, response)
            except BaseException:
                await response.aclose()
                raise
        return response


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx over a pool whose every connection is dialled by a `Dialler`."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = Exchange(self._pool, Origin.of(request.url), Timeouts.of(request))
        try:
            head = await exchange.head(Outgoing.of(request))
        except BaseException:
            exchange.end()
            raise
        return httpx.Response(
            status_code=head.status_code,
            headers=_headers(list(head.headers)),
            stream=_Body(exchange),
            extensions={"http_version": b"HTTP/" + head.http_version, "reason_phrase": head.reason},
        )

    async def aclose(self) -> None:
        await self._pool.close()


def _headers(fields: list[tuple[bytes, bytes]]) -> httpx.Headers:
    """httpx would look for their encoding each time that it is asked for one."""
    is_ascii = all(value.isascii() for _, value in fields)
    return httpx.Headers(fields, encoding="ascii" if is_ascii else None)


class _Body(httpx.AsyncByteStream, AsyncIterator[bytes]):
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._exchange.piece()
        if not piece:
            self._exchange.end()
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        self._exchange.end()


class _NoCookies(CookieJar):
    """Hosts of strangers set cookies without end; none is kept and none is sent.

    Those of one chain of redirects are `imagebatch.net.http.cookies`'s.
    """

    def extract_cookies(self, response: object, request: object) -> None: ...

    def add_cookie_header(self, request: object) -> None: ...
