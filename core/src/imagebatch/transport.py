"""The one way out to hosts that strangers name: an httpx transport that checks each address it dials.

The name is resolved once, every address of the answer is checked, and the connection goes to a checked
address: nothing can change between check and use. The URL is not rewritten, so TLS names and connection
pools stay right, and each redirect is a new request that is checked again. Proxies of the environment
are ignored, for they would resolve the name themselves.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv6Address, ip_address

import httpcore
import httpx

from imagebatch.errors import AddressForbiddenError
from imagebatch.guard import AddressPolicy

MAX_REDIRECTS = 5
USER_AGENT = "ImageBatch/0.1"


class NameNotFoundError(httpx.ConnectError):
    """The host's name has no address."""


def client(policy: AddressPolicy, *, connections: int, timeout: httpx.Timeout) -> httpx.AsyncClient:
    """An HTTP client for links of strangers. It raises AddressForbiddenError for closed addresses.

    It keeps no cookies of one host for another and follows no redirects unless a request asks for it.
    """
    return httpx.AsyncClient(
        transport=GuardedTransport(policy, connections=connections),
        timeout=timeout,
        max_redirects=MAX_REDIRECTS,
        headers={"User-Agent": USER_AGENT},
        trust_env=False,
    )


def retry_after_seconds(headers: httpx.Headers, now: datetime) -> float | None:
    """How long an answer asks to wait (RFC 9110 section 10.2.3); None when it doesn't, or not readably."""
    value = headers.get("Retry-After", "")
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx over a connection pool whose every connection is dialled by `GuardedDialler`."""

    def __init__(self, policy: AddressPolicy, *, connections: int) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=15.0,
            network_backend=GuardedDialler(policy),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        try:
            response = await self._pool.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(
                        scheme=request.url.raw_scheme,
                        host=request.url.raw_host,
                        port=request.url.port,
                        target=request.url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        except tuple(_TRANSLATED) as error:
            raise _translated(error) from error
        assert isinstance(response.stream, AsyncIterable)
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_Body(response.stream),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, stream: AsyncIterable[bytes]) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                yield chunk
        except tuple(_TRANSLATED) as error:
            raise _translated(error) from error

    async def aclose(self) -> None:
        if hasattr(self._stream, "aclose"):
            await self._stream.aclose()


_TRANSLATED: dict[type[Exception], type[httpx.TransportError]] = {
    httpcore.ConnectTimeout: httpx.ConnectTimeout,
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.WriteTimeout: httpx.WriteTimeout,
    httpcore.PoolTimeout: httpx.PoolTimeout,
    httpcore.ConnectError: httpx.ConnectError,
    httpcore.ReadError: httpx.ReadError,
    httpcore.WriteError: httpx.WriteError,
    httpcore.LocalProtocolError: httpx.LocalProtocolError,
    httpcore.RemoteProtocolError: httpx.RemoteProtocolError,
    httpcore.UnsupportedProtocol: httpx.UnsupportedProtocol,
}


def _translated(error: Exception) -> httpx.TransportError:
    return _TRANSLATED[type(error)](str(error))


class GuardedDialler(httpcore.AsyncNetworkBackend):
    """Opens TCP connections, only to addresses that the policy allows."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the backend's interface
        local_address: str | None = None,  # noqa: ARG002
        socket_options: "Iterable[httpcore.SOCKET_OPTION] | None" = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await resolve(host, port)
                for address in addresses:
                    self._policy.check(address, port)
                return await self._first_that_answers(addresses, port, timeout, socket_options)
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"no connection to {host} in time") from None

    async def _first_that_answers(
        self,
        addresses: "list[IPv4Address | IPv6Address]",
        port: int,
        timeout: float | None,  # noqa: ASYNC109
        socket_options: "Iterable[httpcore.SOCKET_OPTION] | None",
    ) -> httpcore.AsyncNetworkStream:
        for address in addresses[:-1]:
            try:
                share = timeout and timeout / len(addresses)
                return await self._inner.connect_tcp(str(address), port, share, None, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(str(addresses[-1]), port, timeout, None, socket_options)

    async def connect_unix_socket(self, *_: object, **__: object) -> httpcore.AsyncNetworkStream:
        raise AddressForbiddenError("Unix sockets are not dialled")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


async def resolve(host: str, port: int) -> list[IPv4Address | IPv6Address]:
    """The addresses of a host name, in the resolver's order, without repeats. Raises NameNotFoundError."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise NameNotFoundError(f"the name {host} has no address") from error
    if not found:
        raise NameNotFoundError(f"the name {host} has no address")
    return list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
