"""Objects of a shard straight from an event loop: signed by `s3_request`, sent by `s3_wire`, not by the SDK.

Used by the jobrunner, which would wait for the SDK's import, and take a thread and urllib3 for each image.
What is not plain and certain at once is not judged here: `DirectStore` does it again by `S3Store`, with the
retries and errors of everywhere else. A put may be repeated: without a condition the same is stored twice;
with one, its second time may find the object there, which then is the same.
"""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import chain
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

from imagebatch.errors import AlreadyExistsError, StoreError
from imagebatch.net.http.dial import Origin
from imagebatch.settings import S3Settings
from imagebatch.storage.s3_request import Identity, Signer, head_of_link, identity_of, place_of
from imagebatch.storage.s3_wire import Answer, UnsureError, Wires
from imagebatch.storage.store import Media, Stored

if TYPE_CHECKING:
    from imagebatch.storage.s3 import S3Store

MAX_BYTES = 1024 * 1024
"""Hashing a longer object would hold up the loop: that is for threads."""

IDENTITY_S = 30.0
"""How long credentials are used before their provider is asked again: files and services change them."""

_PORTS = {"http": 80, "https": 443}
_ETAG = re.compile(r"[-0-9a-zA-Z_+/=.:]{1,200}")

R = TypeVar("R")


class DirectS3:
    """An async context manager; at most `connections` requests at once.

    `store` is asked for the bucket's place where plain rules don't know it, and for keys that the settings do
    not hold. `signed` are objects that are read with a signed link.
    """

    def __init__(
        self,
        settings: S3Settings,
        store: "Callable[[], S3Store]",
        *,
        connections: int,
        signed: Mapping[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._connections = connections
        self._signed = signed or {}
        self._signer: Signer | None = None
        self._identity: Identity | None = None
        self._asked_at = 0.0
        self._asking = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Raises SettingsError for an endpoint that is none."""
        place = place_of(self._settings)
        if place is None:
            place = await asyncio.to_thread(lambda: self._store().place())
        self._place = place
        self._origin = _origin(f"{place.scheme}://{place.netloc}")
        self._wires = await Wires(self._origin, connections=self._connections).__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._wires.__aexit__(*error)

    async def put(self, key: str, data: bytes, media: Media) -> bool:
        """Whether the object is stored for certain; if not, put it by the store, which says why."""
        try:
            await self.stored(key, data, media)
        except UnsureError:
            return False
        return True

    async def stored(self, key: str, data: bytes, media: Media, *, only_if_absent: bool = False) -> Stored:
        """Put an object. Raises AlreadyExistsError, UnsureError."""
        if not 0 < len(data) <= MAX_BYTES:
            raise UnsureError("it is for threads")
        condition = {"if-none-match": "*"} if only_if_absent else {}
        answer = await self._ask("PUT", key, {**_headers(media), **condition}, data)
        if only_if_absent and answer.status == 412:
            raise AlreadyExistsError(f"{key} is there already")
        if answer.status != 200:
            raise UnsureError(f"HTTP {answer.status}")
        return Stored(key, len(data), _etag(answer))

    async def get(self, key: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> bytes:
        """An object or a range of it. Raises UnsureError."""
        headers = {}
        if etag:
            if not _ETAG.fullmatch(etag):
                raise UnsureError("an unusual ETag")
            headers["if-match"] = f'"{etag}"'
        is_part = bool(offset or length)
        if is_part:
            headers["range"] = f"bytes={offset}-{offset + length - 1 if length else ''}"
        answer = await self._ask("GET", key, headers)
        if answer.status != (206 if is_part else 200):
            raise UnsureError(f"HTTP {answer.status}")
        return answer.body

    async def head(self, key: str) -> Stored | None:
        """The object's size and ETag; None when there is none. Raises UnsureError."""
        answer = await self._ask("HEAD", key, {})
        if answer.status == 404:
            return None
        length = answer.headers.get(b"content-length", b"")
        if answer.status != 200 or not length.isdigit():
            raise UnsureError(f"HTTP {answer.status}")
        return Stored(key, int(length), _etag(answer))

    async def _ask(self, method: str, key: str, headers: dict[str, str], body: bytes = b"") -> Answer:
        if method == "GET" and key in self._signed:
            return await self._ask_by_link(self._signed[key], headers)
        try:
            signer = await self._current()
        except StoreError as error:
            raise UnsureError(str(error)) from error
        return await self._wires.ask(signer.head(method, key, headers, body, time.time()), body)

    async def _ask_by_link(self, link: str, headers: dict[str, str]) -> Answer:
        if _origin(link) != self._origin:
            raise UnsureError("a link to another host")
        lines = "".join(f"{name}:{value}\r\n" for name, value in headers.items())
        return await self._wires.ask(head_of_link(link) + lines.encode() + b"\r\n")

    async def _current(self) -> Signer:
        """Raises StoreError when there are no credentials."""
        if self._signer is None or self._is_old():
            async with self._asking:
                if self._signer is None or self._is_old():
                    self._asked_at = asyncio.get_running_loop().time()
                    identity = await self._asked_identity()
                    if self._signer is None or identity != self._identity:
                        self._signer = Signer(self._place, identity)
                    self._identity = identity
        return self._signer

    async def _asked_identity(self) -> Identity:
        given = identity_of(self._settings)
        return await asyncio.to_thread(lambda: self._store().identity()) if given is None else given

    def _is_old(self) -> bool:
        assert self._identity is not None
        is_over = asyncio.get_running_loop().time() > self._asked_at + IDENTITY_S
        return is_over or self._identity.is_expired()


class DirectStore:
    """A `ShardStore` over `DirectS3`, for threads; where that is unsure, `S3Store` does it again."""

    def __init__(
        self, settings: S3Settings, *, connections: int, signed: Mapping[str, str] | None = None
    ) -> None:
        self._settings = settings
        self._connections = connections
        self._signed = signed
        self._lock = threading.Lock()
        self._store: S3Store | None = None
        self.direct = DirectS3(settings, self.store, connections=connections, signed=signed)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await self.direct.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.direct.__aexit__(*error)
        if self._store is not None:
            self._store.close()

    def store(self) -> "S3Store":
        """The store by the SDK, made at its first use."""
        from imagebatch.storage.s3 import S3Store  # noqa: PLC0415 - the SDK takes 0.2 s, most shards never need it

        with self._lock:
            if self._store is None:
                self._store = S3Store(self._settings, connections=self._connections, signed=self._signed)
            return self._store

    def put(self, key: str, data: bytes, media: Media, *, only_if_absent: bool = False) -> Stored:
        try:
            return self._run(self.direct.stored(key, data, media, only_if_absent=only_if_absent))
        except UnsureError:
            return self.store().put(key, data, media, only_if_absent=only_if_absent)

    def put_stream(self, key: str, chunks: Iterable[bytes], media: Media) -> Stored:
        held, rest = bytearray(), iter(chunks)
        for chunk in rest:
            held += chunk
            if len(held) > MAX_BYTES:
                return self.store().put_stream(key, chain([bytes(held)], rest), media)
        return self.put(key, bytes(held), media)

    def get(self, key: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> bytes:
        try:
            return self._run(self.direct.get(key, offset=offset, length=length, etag=etag))
        except UnsureError:
            return self.store().get(key, offset=offset, length=length, etag=etag)

    def open(
        self, key: str, *, offset: int = 0, length: int | None = None, etag: str = ""
    ) -> AbstractContextManager[Iterator[bytes]]:
        return self.store().open(key, offset=offset, length=length, etag=etag)

    def head(self, key: str) -> Stored | None:
        try:
            return self._run(self.direct.head(key))
        except UnsureError:
            return self.store().head(key)

    def _run(self, request: Coroutine[Any, Any, R]) -> R:
        """From a thread: the answer to a request that the loop makes."""
        return asyncio.run_coroutine_threadsafe(request, self._loop).result()


def _origin(url: str) -> Origin:
    parts = urlsplit(url)
    return Origin(parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0))


def _headers(media: Media) -> dict[str, str]:
    headers = {"content-type": media.content_type}
    if media.cache_control:
        headers["cache-control"] = media.cache_control
    if media.disposition:
        headers["content-disposition"] = media.disposition
    return headers


def _etag(answer: Answer) -> str:
    return answer.headers.get(b"etag", b"").decode("latin-1").strip('"')
