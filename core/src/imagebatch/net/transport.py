"""The HTTP client for hosts that strangers name: httpx over a transport that checks each address it dials.

Images, CSV sources and webhooks use `client`. The parts are in `imagebatch.net.http`; docs/decisions/0007 has
the reasons. The URL keeps its name, so TLS checks that name; each redirect is a new request, whose address is
checked again. Proxies of the environment are ignored, for a proxy would resolve the name itself.
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
from imagebatch.net.http.dial import Dialler, NameNotFoundError, Origin, Resolve
from imagebatch.net.http.exchange import Exchange
from imagebatch.net.http.pool import Pool
from imagebatch.net.http.request import Outgoing, Timeouts

__all__ = ["MAX_REDIRECTS", "GuardedTransport", "NameNotFoundError", "client", "retry_after_seconds"]

MAX_REDIRECTS = 5
"""RFC 2068 section 10.3 recommended five; RFC 9110 section 15.4 still reports it."""

PROJECT_URL = "https://imagebatch.dev"


def user_agent(url: str = PROJECT_URL) -> str:
    """The User-Agent, with a URL for hosts that want to complain (RFC 9110 section 10.1.5); `""` for none."""
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
    """An HTTP client for strangers' links. It raises AddressForbiddenError for closed addresses.

    It keeps no cookies and asks for no encoding. It follows no redirects, for httpx would read the whole body
    of each. `named` is the User-Agent. `resolve` and `tls` are for tests.
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
    """What Retry-After asks for (RFC 9110 section 10.2.3); None when it is missing or malformed."""
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
    """httpx's client, with a shorter way for the many GETs of a shard."""

    def requests(self, headers: Mapping[str, str]) -> Callable[[str], httpx.Request]:
        """A function from a link to its GET, as `build_request` makes it; the headers are merged once."""
        merged = httpx.Headers(self.headers)
        merged.update(headers)
        timeout = self.timeout.as_dict()

        def request(link: str) -> httpx.Request:
            return httpx.Request("GET", link, headers=merged, extensions={"timeout": timeout})

        return request

    async def ask(self, request: httpx.Request) -> httpx.Response:
        """As `send(request, stream=True)`, without its authentication, cookies and timing, which take 0.1 ms.

        Links with passwords are refused, and cookies belong to a chain of redirects (`http.cookies`).
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
    """httpx's transport over a pool of connections that a `Dialler` opens."""

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
    """The headers with their encoding, for httpx would find it out anew whenever one is read."""
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
    """Keeps and sends none: kept for a whole shard, strangers' cookies would be without bound.

    `imagebatch.net.http.cookies` keeps those of one chain of redirects.
    """

    def extract_cookies(self, response: object, request: object) -> None: ...

    def add_cookie_header(self, request: object) -> None: ...
