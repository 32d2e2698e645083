"""The REST API from the command line's side."""

import asyncio
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self
from urllib.parse import quote, urlsplit

import httpx

from imagebatch.errors import ImageBatchError

TIMEOUT = httpx.Timeout(60, read=300)
DOWNLOADS = 8


class ServerError(ImageBatchError):
    """The server could not be reached, or could not do what was asked."""


class RefusedError(ImageBatchError):
    """The server refused the input; `problem` is its application/problem+json."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.problem = problem
        super().__init__(str(problem.get("detail") or problem.get("title") or "refused"))


class TokenRefusedError(ImageBatchError):
    """The server does not know the token, or there is none."""


class _BearerAuth(httpx.Auth):
    """Shows the token to the server it is for, and to nobody else: results lie elsewhere."""

    def __init__(self, token: str, base_url: str) -> None:
        if not re.fullmatch(r"[!-~]+", token):
            raise TokenRefusedError("the token has characters that no token has; copy it again")
        self._token = token
        self._origin = _origin(httpx.URL(base_url))

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if _origin(request.url) == self._origin:
            request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


class ApiClient:
    """One server. An async context manager. Raises TokenRefusedError for a token that can't be one."""

    def __init__(self, base_url: str, token: str = "") -> None:
        is_local = urlsplit(base_url).hostname in {"127.0.0.1", "localhost", "::1"}
        self._http = httpx.AsyncClient(
            base_url=base_url,
            auth=_BearerAuth(token.strip(), base_url) if token.strip() else None,
            timeout=TIMEOUT,
            trust_env=not is_local,
        )
        self.base_url = base_url.rstrip("/")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def submit(self, file: Path, fields: Mapping[str, str]) -> dict[str, Any]:
        """Upload a CSV. Raises RefusedError, TokenRefusedError or ServerError."""
        with file.open("rb") as content:
            return await self._json(
                "POST", "/upload", data=dict(fields), files={"file": (_sendable(file), content, "text/csv")}
            )

    async def status(self, request_id: str) -> dict[str, Any]:
        return await self._json("GET", f"/status/{quote(request_id, safe='')}")

    async def download(self, url: str, path: Path) -> None:
        """Save a document; a file appears whole or not at all, a device or pipe is written to."""
        try:
            with replacing(path) as file:
                async with self._http.stream("GET", url) as response:
                    response.raise_for_status()
                    async for chunk in response.aiter_bytes():
                        file.write(chunk)
        except httpx.HTTPError as error:
            raise ServerError(f"{url} could not be read: {error}") from error
        except OSError as error:
            raise ServerError(f"{path} could not be written: {error.strerror}") from error

    async def download_all(self, links: Mapping[str, Path]) -> None:
        """Save many documents, a few at a time."""
        room = asyncio.Semaphore(DOWNLOADS)

        async def one(url: str, path: Path) -> None:
            async with room:
                await self.download(url, path)

        await asyncio.gather(*(one(url, path) for url, path in links.items()))

    async def is_alive(self) -> bool:
        try:
            return (await self._http.get("/healthz", timeout=2)).is_success
        except httpx.HTTPError:
            return False

    async def _json(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401 - httpx's
        try:
            response = await self._http.request(method, path, **kwargs)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise ServerError(f"no answer from {self.base_url}: {reason}") from error
        try:
            document: dict[str, Any] = response.json()
        except ValueError:
            raise ServerError(
                f"{self.base_url} is no ImageBatch server: HTTP {response.status_code}"
            ) from None
        if response.status_code == 401:
            reason = document.get("detail") or "it wants a token"
            raise TokenRefusedError(f"{self.base_url}: {reason}; set IMAGEBATCH_TOKEN or give --token")
        if response.is_client_error and response.status_code != 429:
            raise RefusedError(document)
        if not response.is_success:
            raise ServerError(f"{self.base_url}: {document.get('detail') or response.status_code}")
        return document


def _sendable(file: Path) -> str:
    """The file's name, as far as it is text."""
    return file.name.encode("utf-8", "replace").decode()


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
