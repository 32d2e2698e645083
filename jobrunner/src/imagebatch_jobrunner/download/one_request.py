"""One HTTP exchange on the way to an image: byte limit, deadline, and the error code of each failure.

Used by `fetch`. The client comes from `imagebatch.net.transport`, which checks every address that it dials.
"""

import re
import socket
import ssl
from collections.abc import AsyncIterable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx

from imagebatch.errors import AddressForbiddenError
from imagebatch.net.http import status
from imagebatch.net.http.cookies import ChainCookies
from imagebatch.net.http.encoding import UnsupportedEncodingError, decoded, is_encoded
from imagebatch.net.transport import GuardedClient, NameNotFoundError, retry_after_seconds
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.download import refusal
from imagebatch_jobrunner.download.budget import FIRST_BYTES, Lease
from imagebatch_jobrunner.download.deadline import Deadline
from imagebatch_jobrunner.download.hosts import Host
from imagebatch_jobrunner.errors import FetchError
from imagebatch_jobrunner.limits import FetchLimits

_HEADERS = {"Accept": "image/jpeg, image/png, image/gif, */*;q=0.1"}
"""A host that negotiates shall give the original: what it encodes anew for browsers has lost some quality."""

_EXPECTED = (httpx.HTTPError, httpx.InvalidURL, AddressForbiddenError)


class ImageRequests:
    """Makes the first request of a link."""

    def __init__(self, http: GuardedClient) -> None:
        self._made = http.requests(_HEADERS)

    def of(self, link: str) -> httpx.Request:
        """Raises FetchError for what is no URL."""
        try:
            return self._made(link)
        except httpx.InvalidURL as error:
            raise translated(error) from error


@dataclass(frozen=True, slots=True)
class OneRequest:
    """What a request needs. `lease` grows to the size of the file."""

    http: GuardedClient
    limits: FetchLimits
    host: Host
    lease: Lease
    deadline: Deadline
    cookies: ChainCookies

    async def run(self, request: httpx.Request) -> bytes | httpx.Request:
        """The file, or the request that a redirect makes next. Raises FetchError."""
        if not self.host.health.may_try():
            raise _skipped(self.host.health.last_failure)
        had_time = self.deadline.left_s > self.limits.total_s / 2
        self.cookies.send(request)
        try:
            async with self.deadline.running():
                return await self._answer(request)
        except TimeoutError:
            late = FetchError(
                ErrorCode.DOWNLOAD_TIMEOUT, f"it did not arrive within {self.limits.total_s:g} s"
            )
            if had_time and not self.host.health.has_answered:
                self.host.health.failed(late, is_silent=True)
            raise late from None
        except _EXPECTED as error:
            raise translated(error) from error

    async def _answer(self, request: httpx.Request) -> bytes | httpx.Request:
        await self._reach(FIRST_BYTES)
        async with aclosing(await self._send(request)) as response:
            if response.next_request is not None:
                self.cookies.take(response)
                return response.next_request
            if not response.is_success:
                raise _bad_status(response, refusal.explained(response, await self._beginning(response)))
            return await self._read(response)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        """Send, and remember whether the host can be reached."""
        try:
            response = await self.http.ask(self._hurried(request))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            self.host.health.failed(translated(error), is_silent=isinstance(error, httpx.ConnectTimeout))
            raise
        self._note(response)
        return response

    def _note(self, response: httpx.Response) -> None:
        """Remember that the host is there, and whether it asks to be left alone."""
        self.host.is_there()
        quiet_s = _retry_after_s(response) if response.status_code in status.ASKS_FOR_QUIET else None
        if quiet_s is None:
            self.host.health.answered()
            return
        self.host.health.asked_for_quiet(_bad_status(response))
        self.host.keep_quiet(quiet_s)

    def _hurried(self, request: httpx.Request) -> httpx.Request:
        """Connecting takes at most half of what is left, so that it fails as what it is."""
        connect_s = min(self.limits.connect_s, self.deadline.left_s / 2)
        timeout = {**request.extensions["timeout"], "connect": connect_s}
        request.extensions = {**request.extensions, "timeout": timeout}
        return request

    async def _read(self, response: httpx.Response) -> bytes:
        file = bytearray()  # not a list: a host may send single bytes, and each would cost a pointer more
        if is_encoded(response.headers):
            async with aclosing(decoded(response)) as pieces:
                async for piece in pieces:
                    await self._hold(max(len(file) + len(piece), response.num_bytes_downloaded))
                    file += piece
        else:
            await self._hold(_declared(response))
            assert isinstance(response.stream, AsyncIterable)
            async for piece in response.stream:  # as it comes: `aiter_raw` would take twice as long
                await self._hold(len(file) + len(piece))
                file += piece
        if not file:
            raise FetchError(ErrorCode.EMPTY_FILE, "the file has no bytes")
        return bytes(file)

    async def _beginning(self, response: httpx.Response) -> bytes:
        """The first bytes of an answer that they may explain; b"" of every other."""
        if not refusal.may_be_explained(response):
            return b""
        try:
            return await anext(response.aiter_raw(), b"")
        except httpx.HTTPError:
            return b""

    async def _hold(self, size: int) -> None:
        if size > self.limits.max_bytes:
            raise FetchError(
                ErrorCode.TOO_LARGE, f"the file has more bytes than the limit of {self.limits.max_bytes}"
            )
        await self._reach(size)

    async def _reach(self, size: int) -> None:
        if not self.lease.reach_at_once(size):
            async with self.deadline.paused():
                await self.lease.reach(size)


def _declared(response: httpx.Response) -> int:
    """How long the answer says that it is; 0 when it does not."""
    declared = response.headers.get("Content-Length", "")
    return int(declared[:20]) if declared.isascii() and declared.isdigit() else 0


def _bad_status(response: httpx.Response, explanation: str = "") -> FetchError:
    return FetchError(
        ErrorCode.HTTP_STATUS,
        f"HTTP {response.status_code}{explanation}",
        retryable=response.status_code in status.TEMPORARY,
        retry_after_s=_retry_after_s(response),
    )


def _retry_after_s(response: httpx.Response) -> float | None:
    return retry_after_seconds(response.headers, datetime.now(UTC))


def _skipped(last: FetchError | None) -> FetchError:
    assert last is not None
    return FetchError(last.code, f"the host was skipped, for it failed many times in a row: {last.message}")


def translated(error: Exception) -> FetchError:
    """What a failed request is called. The message holds no link."""
    match error:
        case AddressForbiddenError():
            return FetchError(ErrorCode.ADDRESS_FORBIDDEN, str(error))
        case NameNotFoundError():
            return FetchError(ErrorCode.DNS_FAILED, str(error), retryable=_may_be_there_later(error))
        case httpx.ConnectTimeout():
            return FetchError(ErrorCode.CONNECT_FAILED, "no connection in time", retryable=True)
        case httpx.ConnectError():
            return _connect_error(error)
        case httpx.TimeoutException():
            return FetchError(ErrorCode.DOWNLOAD_TIMEOUT, "the host stopped sending")
        case (
            httpx.InvalidURL()
            | httpx.UnsupportedProtocol()
            | httpx.RemoteProtocolError(__context__=httpx.InvalidURL())  # of a redirect
        ):
            return FetchError(ErrorCode.INVALID_URL, f"malformed: {error}")
        case httpx.DecodingError():
            is_ours = isinstance(error, UnsupportedEncodingError)
            return FetchError(
                ErrorCode.UNSUPPORTED_ENCODING if is_ours else ErrorCode.DOWNLOAD_FAILED, str(error)
            )
    return FetchError(ErrorCode.DOWNLOAD_FAILED, f"the transfer broke ({_said(error)})", retryable=True)


def _connect_error(error: Exception) -> FetchError:
    tls = next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLError)), None)
    if tls is None:
        return FetchError(ErrorCode.CONNECT_FAILED, f"no connection ({_said(error)})", retryable=True)
    reason = getattr(tls, "verify_message", "") or tls.reason or "handshake failed"
    return FetchError(ErrorCode.TLS_FAILED, str(reason).lower().replace("_", " "))


def _may_be_there_later(error: Exception) -> bool:
    """Whether the name's servers failed, rather than said that there is no such name."""
    lookups = [cause for cause in _causes(error) if isinstance(cause, socket.gaierror)]
    return any(lookup.errno == socket.EAI_AGAIN for lookup in lookups)


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and len(found) < 10:
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def _said(error: Exception) -> str:
    """An error's words, without Python's for bytes and objects."""
    return " ".join(_PYTHONS_OWN.sub("", str(error)).split())[:120] or type(error).__name__


_PYTHONS_OWN = re.compile(r":?\s*(?:bytearray\(|memoryview\(|\bb['\"]|<[\w.]+ object at).*", re.DOTALL)
