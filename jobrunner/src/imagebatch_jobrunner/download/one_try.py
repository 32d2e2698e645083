"""One try at downloading one image: redirects, byte limit, deadline, and what its failure is called.

Used by `fetch`. The client comes from `imagebatch.transport`, which checks every address that it dials.
"""

import socket
import ssl
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx

from imagebatch import links
from imagebatch.errors import AddressForbiddenError
from imagebatch.outcome import ErrorCode
from imagebatch.transport import MAX_REDIRECTS, NameNotFoundError, retry_after_seconds
from imagebatch_jobrunner.download.budget import Lease
from imagebatch_jobrunner.download.deadline import Deadline
from imagebatch_jobrunner.download.hosts import HostHealth
from imagebatch_jobrunner.errors import FetchError
from imagebatch_jobrunner.limits import FetchLimits

_HEADERS = {
    "Accept": "image/avif,image/webp,image/png,image/jpeg,image/*;q=0.9,*/*;q=0.5",
    "Accept-Encoding": "identity",
}
_TEMPORARY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


def host_of(link: str) -> str:
    """Host and port: what connections and failures are counted by."""
    return urlsplit(link).netloc.lower()


@dataclass(frozen=True, slots=True)
class Download:
    """What one try needs. `lease` grows to the size of the file."""

    http: httpx.AsyncClient
    limits: FetchLimits
    health: HostHealth
    lease: Lease
    deadline: Deadline

    async def run(self, link: str) -> bytes:
        """Raises FetchError."""
        if not self.health.may_try():
            raise FetchError(ErrorCode.CONNECT_FAILED, "the host was skipped: it did not answer many times")
        try:
            async with self.deadline.running():
                return await self._follow(self.http.build_request("GET", link, headers=_HEADERS))
        except TimeoutError:
            raise FetchError(
                ErrorCode.DOWNLOAD_TIMEOUT, f"it did not arrive within {self.limits.total_s:g} s"
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL, AddressForbiddenError, NameNotFoundError) as error:
            raise translated(error) from error

    async def _follow(self, request: httpx.Request) -> bytes:
        for hop in range(MAX_REDIRECTS + 1):
            response = await self._send(request, is_first=hop == 0)
            async with aclosing(response):
                if response.next_request is None:
                    return await self._read(response)
            request = response.next_request
            _check_redirect(str(request.url))
        raise FetchError(ErrorCode.TOO_MANY_REDIRECTS, f"more than {MAX_REDIRECTS} redirects")

    async def _send(self, request: httpx.Request, *, is_first: bool) -> httpx.Response:
        """Send, and remember whether the link's own host can be reached."""
        try:
            response = await self.http.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, NameNotFoundError):
            if is_first:
                self.health.record(connected=False)
            raise
        if is_first:
            self.health.record(connected=True)
        return response

    async def _read(self, response: httpx.Response) -> bytes:
        if not response.is_success:
            raise _bad_status(response)
        declared = response.headers.get("Content-Length", "")
        if declared.isdigit() and "Content-Encoding" not in response.headers:
            await self._hold(int(declared))
        chunks, size = [], 0
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            await self._hold(size)
            chunks.append(chunk)
        if not size:
            raise FetchError(ErrorCode.EMPTY_FILE, "the file has no bytes")
        return b"".join(chunks)

    async def _hold(self, size: int) -> None:
        if size > self.limits.max_bytes:
            raise FetchError(
                ErrorCode.TOO_LARGE, f"the file has more bytes than the limit of {self.limits.max_bytes}"
            )
        if size > self.lease.held:
            async with self.deadline.paused():
                await self.lease.reach(size)


def _check_redirect(link: str) -> None:
    bad = links.check(link)
    if bad is not None:
        raise FetchError(bad.code, f"it redirects to a link that is refused: {bad.message}")


def _bad_status(response: httpx.Response) -> FetchError:
    status = response.status_code
    return FetchError(
        ErrorCode.HTTP_STATUS,
        f"HTTP {status}",
        retryable=status in _TEMPORARY_STATUS,
        retry_after_s=retry_after_seconds(response.headers, datetime.now(UTC)),
    )


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
        case httpx.InvalidURL() | httpx.UnsupportedProtocol():
            return FetchError(ErrorCode.INVALID_URL, f"malformed: {error}")
        case httpx.DecodingError():
            return FetchError(ErrorCode.DOWNLOAD_FAILED, "its Content-Encoding is damaged")
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
    return " ".join(str(error).split())[:120] or type(error).__name__
