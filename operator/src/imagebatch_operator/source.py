"""Snapshots a batch's source into its canonical CSV and plan, whatever the source is."""

import asyncio
import base64
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import anyio
import httpx

from imagebatch import links
from imagebatch.batch.background import DOWNLOADS_AT_ONCE, in_thread
from imagebatch.batch.spec import BatchSpec
from imagebatch.csv.ingest import Ingested, Limits, ingest
from imagebatch.custom_resource import ImageBatch
from imagebatch.errors import (
    AddressForbiddenError,
    ImageBatchError,
    InputRefusedError,
    NotFoundError,
    Problem,
    UnavailableError,
)
from imagebatch.net.http import status
from imagebatch.net.http.encoding import UnsupportedEncodingError, decoded
from imagebatch.net.transport import MAX_REDIRECTS
from imagebatch.storage import keys
from imagebatch.storage.store import ObjectStore
from imagebatch.thread_reader import BrokenOffError, ThreadReader
from imagebatch_operator.kube import Kube

GIVE_UP_AFTER = timedelta(minutes=15)
"""A URL that does not answer is tried again until so long after the object's creation."""

SLOW_AFTER_S, SLOW_BYTES_PER_S = 30.0, 1000
INLINE_BLOCK_CHARS = 64 * 1024
URL_HEADERS = {"Accept": "text/csv, */*;q=0.5", "Accept-Encoding": "gzip"}


class SourceWaitsError(UnavailableError):
    """The source is not there yet; it is looked for again."""

    reason = "SourceNotReady"


@dataclass(frozen=True, slots=True)
class SourceLimits:
    """What a source may have at most, and how long its download may take."""

    max_bytes: int
    seconds: float
    max_rows: int


class _Stop:
    """Ends a reader in a thread between two chunks."""

    def __init__(self) -> None:
        self._is_asked = threading.Event()

    def now(self) -> None:
        self._is_asked.set()

    def watch(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self._is_asked.is_set():
                raise BrokenOffError("the batch is cancelled or deleted")
            yield chunk


class _Pace:
    """Ends a download that drips: it would hold its place for hours."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def check(self, size: int) -> None:
        seconds = time.monotonic() - self._began
        if seconds > SLOW_AFTER_S and size < SLOW_BYTES_PER_S * seconds:
            raise TimeoutError(f"slower than {SLOW_BYTES_PER_S} bytes a second")


class Sources:
    """Reads sources. Raises InputRefusedError for one that no later try can read."""

    def __init__(
        self, store: ObjectStore, kube: Kube, client: httpx.AsyncClient, limits: SourceLimits
    ) -> None:
        self._store = store
        self._kube = kube
        self._client = client
        self._limits = limits
        self._threads = anyio.CapacityLimiter(2 * DOWNLOADS_AT_ONCE)

    async def snapshot(self, batch: ImageBatch) -> Ingested:
        """Write the batch's canonical CSV and plan. Raises SourceWaitsError, StoreError or KubeError too."""
        source = batch.source
        if "inline" in source:
            return await self._ingest(batch, _blocks(source["inline"].encode()), "utf-8")
        if "configMap" in source:
            data = await self._config_map(batch)
            return await self._ingest(batch, _blocks(data), _encoding(batch))
        if "s3" in source:
            return await self._from_s3(batch)
        return await self._from_url(batch)

    # -- from the cluster ----------------------------------------------------------------------------

    async def _config_map(self, batch: ImageBatch) -> bytes:
        name, entry = batch.source["configMap"]["name"], batch.source["configMap"]["key"]
        found = await self._kube.get_config_map(batch.key.namespace, name)
        if found is None:
            raise SourceWaitsError(f"there is no ConfigMap {name} in namespace {batch.key.namespace}")
        if entry in found.get("data", {}):
            return str(found["data"][entry]).encode()
        if entry in found.get("binaryData", {}):
            return base64.b64decode(found["binaryData"][entry])
        raise SourceWaitsError(f"the ConfigMap {name} has no key {entry}")

    async def _ingest(self, batch: ImageBatch, chunks: Iterator[bytes], encoding: str | None) -> Ingested:
        return await self._in_thread(lambda stop: self._ingest_blocking(batch, stop.watch(chunks), encoding))

    async def _in_thread(self, read: Callable[["_Stop"], Ingested]) -> Ingested:
        """Read in a thread. When this is cancelled, the reader is stopped between two chunks."""
        stop = _Stop()
        return await in_thread(lambda: read(stop), stop.now)

    def _ingest_blocking(self, batch: ImageBatch, chunks: Iterator[bytes], encoding: str | None) -> Ingested:
        spec = BatchSpec.from_spec(batch.spec)
        try:
            return ingest(
                self._store,
                batch.request_id,
                chunks,
                encoding=encoding,
                columns=spec.columns,
                rows_per_shard=spec.rows_per_shard,
                limits=Limits(max_rows=self._limits.max_rows),
                places=keys.input_of_snapshot(batch.request_id, uuid.uuid4().hex),
            )
        except InputRefusedError as error:
            raise InputRefusedError(list(map(_with_hint, error.problems))) from error

    # -- from S3 -------------------------------------------------------------------------------------

    async def _from_s3(self, batch: ImageBatch) -> Ingested:
        key, prefix = batch.source["s3"]["key"], keys.imports_prefix(batch.key.namespace)
        if keys.upload_of_input(batch.request_id, key) is not None:
            raise InputRefusedError.of("input_lost", "the upload's plan is no longer on S3; upload it again")
        if not key.startswith(prefix) or ".." in key.split("/"):
            raise InputRefusedError.of(
                "source_forbidden", f"spec.source.s3.key must lie under {prefix}, for this namespace's files"
            )
        return await self._in_thread(lambda stop: self._read_s3(batch, key, stop))

    def _read_s3(self, batch: ImageBatch, key: str, stop: "_Stop") -> Ingested:
        try:
            with self._store.open(key) as chunks:
                return self._ingest_blocking(batch, self._bounded(stop.watch(chunks)), _encoding(batch))
        except NotFoundError:
            raise InputRefusedError.of("source_not_found", f"there is no object {key} on S3") from None

    def _bounded(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        size = 0
        for chunk in chunks:
            size += len(chunk)
            self._check_size(size)
            yield chunk

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_bytes:
            raise InputRefusedError.of(
                "too_large", f"a source may have {self._limits.max_bytes} bytes; split the file"
            )

    # -- from a URL ----------------------------------------------------------------------------------

    async def _from_url(self, batch: ImageBatch) -> Ingested:
        """Download and ingest in one pass, so that no file is ever whole in memory."""
        try:
            async with asyncio.timeout(self._limits.seconds), self._get(batch.source["url"]) as response:
                return await self._ingest_response(batch, response)
        except AddressForbiddenError as error:
            raise InputRefusedError.of("source_forbidden", f"spec.source.url: {error}") from error
        except UnsupportedEncodingError as error:
            raise InputRefusedError.of("unsupported_encoding", f"spec.source.url: {error}") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, UnicodeError) as error:
            raise _unreachable(batch, f"{type(error).__name__}: {error}") from error

    @asynccontextmanager
    async def _get(self, url: str) -> AsyncIterator[httpx.Response]:
        """The answer behind all redirects, unread. httpx's own following reads each redirect's body whole."""
        request = self._client.build_request("GET", url, headers=URL_HEADERS)
        for _ in range(MAX_REDIRECTS + 1):
            async with aclosing(await self._client.send(request, stream=True)) as response:
                if response.next_request is None:
                    yield response
                    return
            request = response.next_request
            _check_redirect(str(request.url))
        raise InputRefusedError.of(
            "source_not_found", f"spec.source.url leads through more than {MAX_REDIRECTS} redirects"
        )

    async def _ingest_response(self, batch: ImageBatch, response: httpx.Response) -> Ingested:
        if response.status_code in status.TEMPORARY:
            raise _unreachable(batch, f"HTTP {response.status_code}")
        if not response.is_success:
            raise InputRefusedError.of(
                "source_not_found", f"spec.source.url answers with HTTP {response.status_code}"
            )
        size, pace = 0, _Pace()
        async with ThreadReader[Ingested](self._threads) as reading, aclosing(decoded(response)) as body:
            reading.start(lambda chunks: self._ingest_blocking(batch, chunks, _encoding(batch)))
            async for chunk in body:
                size += len(chunk)
                self._check_size(max(size, response.num_bytes_downloaded))
                pace.check(response.num_bytes_downloaded)
                await reading.feed(chunk)
            return await reading.finish()


def _check_redirect(link: str) -> None:
    bad = links.check(link)
    if bad is not None:
        raise InputRefusedError.of(
            "source_forbidden", f"spec.source.url redirects to a link that is refused: {bad.message}"
        )


def _unreachable(batch: ImageBatch, why: str) -> ImageBatchError:
    """The error for a URL that can't be downloaded now: wait, or after `GIVE_UP_AFTER` a refusal."""
    if datetime.now(UTC) - batch.created_at > GIVE_UP_AFTER:
        return InputRefusedError.of("source_unreachable", f"spec.source.url can't be downloaded: {why}")
    return SourceWaitsError(f"spec.source.url can't be downloaded yet: {why}")


def _encoding(batch: ImageBatch) -> str | None:
    """The declared one; else the file's own evidence counts."""
    return batch.source.get("encoding")


_HINTS = {
    "not_utf8": " in spec.source.encoding",
    "wrong_header": " (in spec.source.columns or spec.source.preset)",
}


def _with_hint(problem: Problem) -> Problem:
    """Add the field of the object that cures the problem."""
    return replace(problem, message=f"{problem.message}{_HINTS.get(problem.code, '')}")


def _blocks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), INLINE_BLOCK_CHARS):
        yield data[start : start + INLINE_BLOCK_CHARS]
