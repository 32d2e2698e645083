"""Links to a batch's private CSVs, which the operator signs, and reading what they lead to."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from imagebatch.custom_resource import LINKS_REQUESTED_AT
from imagebatch.errors import NotFoundError
from imagebatch.storage.store import Stored
from imagebatch_cli.kubectl.asking import ask
from imagebatch_cli.kubectl.cluster import Cluster
from imagebatch_cli.kubectl.errors import LinkError
from imagebatch_cli.results import NoResultError
from imagebatch_client import AsyncClient, ImageBatchError
from imagebatch_client.connection import Connection

Links = tuple[str, ...]
"""To the same file; the first that answers is to be taken."""


@dataclass(frozen=True, slots=True)
class PrivateLinks:
    """Empty for what the batch has not."""

    errors: Links = ()
    report: Links = ()


async def private_links(cluster: Cluster, name: str, timeout_s: float) -> PrivateLinks:
    """Ask the operator for them. Raises NoResultError where it has none."""
    body = await ask(cluster, name, LINKS_REQUESTED_AT, _answer, timeout_s)
    found = _answer(body["status"])
    if "error" in found:
        raise NoResultError(found["error"])
    return PrivateLinks(tuple(found.get("errorsCsv", ())), tuple(found.get("reportCsv", ())))


def _answer(status: Mapping[str, Any]) -> Mapping[str, Any]:
    links: Mapping[str, Any] = status.get("links", {})
    return links


def origin(link: str) -> str:
    """The address of the server that a link leads to, by which its client is made."""
    url = urlsplit(link)
    return f"{url.scheme}://{url.netloc}"


@dataclass(frozen=True, slots=True)
class FirstThatAnswers:
    """Downloads by a link or, where there are `others` for it, by the first that can be followed."""

    client: AsyncClient
    others: Mapping[str, Links]

    async def download(self, url: str, path: str | Path) -> None:
        errors: list[Exception] = []
        for link in (url, *self.others.get(url, ())):
            try:
                await self.client.download(link, path)
            except ImageBatchError as error:
                errors.append(error)
            else:
                return
        raise ExceptionGroup("no link could be followed", errors)


class LinkedFile:
    """A file by its links, as `report_page` reads it. Blocks."""

    def __init__(self, links: Sequence[str], http: httpx.Client) -> None:
        self._links = links
        self._http = http
        self._chosen = ""

    def head(self, key: str) -> Stored:
        """Choose the first link that answers. A signed link is for GET alone, so this asks for a byte."""
        errors: list[Exception] = []
        for link in self._links:
            try:
                answer = self._ask(link, {"range": "bytes=0-0"})
                found = Stored(key, size_of(answer), answer.headers.get("etag", "").strip('"'))
            except (LinkError, NotFoundError) as error:
                errors.append(error)
            else:
                self._chosen = link
                return found
        raise errors[0] if len(errors) == 1 else ExceptionGroup("no link could be followed", errors)

    def get(self, key: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> bytes:  # noqa: ARG002 - the links are for one key
        last = "" if length is None else str(offset + length - 1)
        version = {"if-match": f'"{etag}"'} if etag else {}
        return self._ask(self._chosen, {"range": f"bytes={offset}-{last}", **version}).content

    def _ask(self, link: str, headers: Mapping[str, str]) -> httpx.Response:
        """Raises LinkError, and NotFoundError where the file is gone or another one."""
        where = urlsplit(link)._replace(query="").geturl()  # a signed link opens the door for its reader
        try:
            answer = self._http.get(link, headers={"accept-encoding": "identity", **headers})
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise LinkError(f"no answer from {where}: {error or type(error).__name__}") from error
        if answer.status_code in {404, 412}:
            raise NotFoundError(f"{where} is gone, or was replaced meanwhile")
        if answer.status_code != 206:
            raise LinkError(f"{where} answers with HTTP {answer.status_code}")
        return answer


def size_of(answer: httpx.Response) -> int:
    """The whole file's, as a part's answer says it. Raises LinkError."""
    total = answer.headers.get("content-range", "").rpartition("/")[2]
    if not total.isdigit():
        raise LinkError("what stands at the link's address does not know parts of files")
    return int(total)


@contextmanager
def linked(links: Sequence[str]) -> Iterator[LinkedFile]:
    """The file that links lead to; there is at least one."""
    with httpx.Client(**Connection(origin(links[0]), "").settings()) as http:
        yield LinkedFile(links, http)
