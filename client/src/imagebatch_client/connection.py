"""What both clients have in common of HTTP: where the server is, the token, httpx's errors in our words."""

import os
import re
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from imagebatch_client.calls import Call
from imagebatch_client.errors import NoAnswerError, TokenError

TIMEOUT = httpx.Timeout(60, connect=15, read=300)
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)

Source = str | os.PathLike[str] | bytes


class Connection:
    """Where the server is, and what httpx is to know of it."""

    def __init__(self, base_url: str, token: str) -> None:
        try:
            self._url = httpx.URL(base_url.rstrip("/"))
        except httpx.InvalidURL as error:
            # The URL is not shown, for it may have a password.
            raise NoAnswerError(f"that is no URL of a server: {error}", was_sent=False) from None
        self._token = token.strip()
        if self._token and not re.fullmatch(r"[!-~]+", self._token):
            raise TokenError("the token has characters that no token has; copy it again")

    @property
    def shown(self) -> str:
        """The server's URL without a password that may be in it."""
        return str(self._url.copy_with(userinfo=b"")).rstrip("/")

    def settings(self) -> dict[str, Any]:
        """The arguments of httpx.Client and httpx.AsyncClient. Certificates are verified."""
        auth = _BearerAuth(self._token, self._url) if self._token else None
        return {
            "base_url": self._url,
            "timeout": TIMEOUT,
            "trust_env": self._url.host not in LOOPBACK,  # no proxy stands before this machine
            "verify": httpx.create_ssl_context(),  # knows SSL_CERT_FILE, whatever trust_env says
            **({"auth": auth} if auth else {}),
        }

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Raise NoAnswerError for what httpx raises."""
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            was_sent = not isinstance(error, (*NOT_SENT, httpx.InvalidURL))
            reason = str(error) or type(error).__name__
            raise NoAnswerError(f"no answer from {self.shown}: {reason}", was_sent=was_sent) from error


class _BearerAuth(httpx.Auth):
    """Shows the token to the server it is for, and to nobody else: results lie elsewhere."""

    def __init__(self, token: str, url: httpx.URL) -> None:
        self._token = token
        self._origin = _origin(url)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if _origin(request.url) == self._origin:
            request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def arguments(
    call: Call[Any], source: Source | None = None, content: BinaryIO | bytes | None = None
) -> dict[str, Any]:
    """The arguments of httpx's `build_request`; the file's `content` is read while it is sent."""
    found: dict[str, Any] = {
        "method": call.method,
        "url": call.path,
        "params": call.params,
        "headers": dict(call.headers),
    }
    if source is not None:
        found |= {"data": dict(call.form), "files": {"file": (_name(source), content, "text/csv")}}
    if call.json is not None:
        found["json"] = dict(call.json)
    return found


@contextmanager
def opened(source: Source | None) -> Iterator[BinaryIO | bytes | None]:
    """What a source has: bytes, or a file that is open as long as the block."""
    if source is None or isinstance(source, bytes):
        yield source
        return
    with Path(source).open("rb") as file:
        yield file


def _name(source: Source) -> str:
    """The name to send with a file, as far as it is text."""
    if isinstance(source, bytes):
        return "products.csv"
    return Path(source).name.encode("utf-8", "replace").decode()


def new_key() -> str:
    """An Idempotency-Key that nobody guesses."""
    return f"imagebatch-client-{uuid.uuid4()}"


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes `path`'s place at the end of the block, unless the block fails.

    A symbolic link is followed. What is no regular file (a device, a pipe) is written to as it is.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        with path.open("wb") as file:
            yield file
        return
    fresh = target.with_name(f"{target.name}.part")
    try:
        with fresh.open("wb") as file:
            yield file
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
