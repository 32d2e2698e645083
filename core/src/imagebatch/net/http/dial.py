"""From a host's name to an open connection, only at addresses that the policy allows.

A name is looked up once, every address of the answer is checked, and one of these addresses is dialled, so
nothing can change between check and use. TLS checks the certificate for the name. Used by `pool`, and by
`imagebatch.storage.s3_wire` with a protocol of its own.
"""

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from ipaddress import IPv6Address, ip_address
from typing import TypeVar

import httpx
from aiohappyeyeballs import start_connection
from aiohappyeyeballs.types import AddrInfoType

from imagebatch.net.guard import Address, AddressPolicy
from imagebatch.net.http.connection import Connection

NEXT_ADDRESS_S = 0.25
"""How long an address is tried alone before the next one is tried beside it (RFC 8305 section 5)."""

MAX_ADDRESSES = 8
"""All of a name's addresses are checked, the first 8 are tried: the last one 1.75 s after the first."""

LOOKUP_THREADS = 32
"""Each look-up blocks a thread. With asyncio's own pool, 6 threads on two cores, one slow name server would
hold up all other look-ups."""

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]
"""Finds the addresses of a host name, for a port. Raises NameNotFoundError when there are none."""

P = TypeVar("P", bound=asyncio.Protocol)


class NameNotFoundError(httpx.ConnectError):
    """The host's name has no address."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a connection leads to. It is never used for another name, even one with the same address."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: httpx.URL) -> "Origin":
        """Raises UnsupportedProtocol for all but http and https, InvalidURL for a host that is none."""
        host = url.raw_host.decode("ascii").lower()
        if url.scheme not in {"http", "https"}:
            raise httpx.UnsupportedProtocol("only http:// and https:// are fetched")
        if not host or "%" in host:
            raise httpx.InvalidURL("the host is empty, or carries a zone or an escape")
        port = url.port if url.port is not None else 443 if url.scheme == "https" else 80
        return cls(url.scheme, host, port)

    @property
    def tls_name(self) -> str | None:
        """The certificate's name: without the dot of an absolute name (RFC 6066 section 3)."""
        return self.host.removesuffix(".") if self.scheme == "https" else None


@cache
def tls_context() -> ssl.SSLContext:
    """This process's only context: making one reads all certificate authorities, which takes 50 ms."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class Dialler:
    """Dials what the policy allows. `resolve` and `tls` are for tests."""

    def __init__(
        self, policy: AddressPolicy, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._policy = policy
        self._lookups = Lookups()
        self._resolve = resolve or self._lookups.resolve
        self._tls = tls

    async def dial(self, origin: Origin, timeout_s: float | None) -> Connection:
        """A new connection. Raises as `open` does."""
        return await self.open(origin, Connection, timeout_s)

    async def open(self, origin: Origin, protocol: Callable[[], P], timeout_s: float | None) -> P:
        """A new connection under another protocol. Raises AddressForbiddenError, NameNotFoundError,
        ConnectError, ConnectTimeout.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._open(origin, protocol)
        except TimeoutError:
            raise httpx.ConnectTimeout("no connection in time") from None
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(_said(error) or type(error).__name__) from error

    async def _open(self, origin: Origin, protocol: Callable[[], P]) -> P:
        addresses = await self._addresses(origin)
        for address in addresses:
            self._policy.check(address, origin.port)
        checked = [_addr_info(address, origin.port) for address in addresses[:MAX_ADDRESSES]]
        opened = await start_connection(checked, happy_eyeballs_delay=NEXT_ADDRESS_S)
        _, connection = await asyncio.get_running_loop().create_connection(
            protocol, sock=opened, ssl=self._tls_for(origin), server_hostname=origin.tls_name
        )
        return connection

    async def _addresses(self, origin: Origin) -> Sequence[Address]:
        try:
            return [ip_address(origin.host)]
        except ValueError:
            return await self._resolve(origin.host, origin.port)

    def _tls_for(self, origin: Origin) -> ssl.SSLContext | None:
        return (self._tls or tls_context()) if origin.scheme == "https" else None

    def close(self) -> None:
        self._lookups.close()


class Lookups:
    """The system's resolver, in threads of its own."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="lookup")

    async def resolve(self, host: str, port: int) -> list[Address]:
        """The addresses in the resolver's order, without repeats. Raises NameNotFoundError."""
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        except (socket.gaierror, UnicodeError) as error:
            raise NameNotFoundError(f"the name {host} has no address") from error
        if not found:
            raise NameNotFoundError(f"the name {host} has no address")
        return list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))

    def close(self) -> None:
        """Look-ups under way end by themselves; nobody waits for them."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addr_info(address: Address, port: int) -> AddrInfoType:
    if isinstance(address, IPv6Address):
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port)


_ERRNO = re.compile(r"\[Errno (\d+)\]")


def _said(error: Exception) -> str:
    """An error in the system's words, because Python's quote tuples of addresses."""
    found = _ERRNO.search(str(error))
    number = error.errno if isinstance(error, OSError) and error.errno else int(found[1]) if found else 0
    is_systems_own = number and not isinstance(error, ssl.SSLError | socket.gaierror)
    return os.strerror(number).lower() if is_systems_own else " ".join(str(error).split())[:120]
