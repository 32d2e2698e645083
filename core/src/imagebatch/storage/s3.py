"""The object store on S3, by the MinIO SDK.

Knows every S3: endpoint, region, path or virtual-host addressing, keys or the AWS chain (environment,
IRSA, instance role). This is the one place that does conditional puts: `Minio.put_object` would turn
`If-None-Match` into user metadata, so they go through the SDK's request signer directly.
"""

import json
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import urllib3
from minio.datatypes import Object
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from imagebatch.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    NotFoundError,
    StoreError,
)
from imagebatch.storage import keys
from imagebatch.storage.s3_access import read_policy
from imagebatch.storage.s3_bucket import S3Bucket, translate_errors
from imagebatch.storage.s3_errors import ABSENT, translated
from imagebatch.storage.s3_links import signed_at
from imagebatch.storage.s3_writer import SDK_ERRORS, S3Writer, headers_of
from imagebatch.storage.store import Media, Stored

CHUNK_BYTES = 256 * 1024
CONFLICT_PAUSES_S = (0.1, 0.3, 1.0, 3.0)


class S3Store(S3Bucket):
    """The objects of one bucket. Safe to use from several threads."""

    def check(self) -> None:
        self.health.check(self)

    def put(self, key: str, data: bytes, media: Media, *, only_if_absent: bool = False) -> Stored:
        with self.health.storing():
            return self._put_once_decided(key, data, media, only_if_absent=only_if_absent)

    @translate_errors
    def _put_once_decided(self, key: str, data: bytes, media: Media, *, only_if_absent: bool) -> Stored:
        for pause in CONFLICT_PAUSES_S:
            try:
                return self._put(key, data, media, only_if_absent=only_if_absent)
            except S3Error as error:
                if error.code != "ConditionalRequestConflict":
                    raise
            time.sleep(pause)  # another put of the key is under way: its outcome is not decided yet
        return self._put(key, data, media, only_if_absent=only_if_absent)

    def _put(self, key: str, data: bytes, media: Media, *, only_if_absent: bool) -> Stored:
        headers = headers_of(media)
        if only_if_absent:
            headers["If-None-Match"] = "*"
        try:
            result = self._client._put_object(self._bucket, key, data, headers)  # noqa: SLF001 - see the module
        except S3Error as error:
            if only_if_absent and error.code == "PreconditionFailed":
                raise AlreadyExistsError(f"{key} is there already") from error
            raise
        return Stored(key, len(data), result.etag or "")

    def put_stream(self, key: str, chunks: Iterable[bytes], media: Media) -> Stored:
        with self.writing(key, media) as writer:
            for chunk in chunks:
                writer.write(chunk)
        return writer.stored

    @contextmanager
    def writing(self, key: str, media: Media) -> Iterator[S3Writer]:
        writer = S3Writer(self._client, self._bucket, key, headers_of(media))
        with self.health.storing():
            try:
                yield writer
                writer.finish()
            except BaseException as error:
                writer.abort()
                if isinstance(error, SDK_ERRORS):
                    raise self._failed(error) from error
                raise
        self.health.answered(is_well=True)

    def get(self, key: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> bytes:
        with self.open(key, offset=offset, length=length, etag=etag) as chunks:
            return b"".join(chunks)

    @contextmanager
    def open(
        self, key: str, *, offset: int = 0, length: int | None = None, etag: str = ""
    ) -> Iterator[Iterator[bytes]]:
        response = self._get(key, offset, length, etag)
        try:
            yield _chunks(response)
        finally:
            response.close()
            response.release_conn()

    @translate_errors
    def _get(self, key: str, offset: int, length: int | None, etag: str) -> urllib3.BaseHTTPResponse:
        if key in self._signed:
            return self._get_signed(key, offset, length, etag)
        return self._client.get_object(
            self._bucket,
            key,
            offset=offset,
            length=length or 0,
            request_headers={"If-Match": f'"{etag}"'} if etag else None,
        )

    def _get_signed(self, key: str, offset: int, length: int | None, etag: str) -> urllib3.BaseHTTPResponse:
        headers = {"If-Match": f'"{etag}"'} if etag else {}
        if offset or length:
            headers["Range"] = f"bytes={offset}-{offset + length - 1 if length else ''}"
        response = self._http.request("GET", self._signed[key], headers=headers, preload_content=False)
        if response.status in {200, 206}:
            return response
        response.drain_conn()
        response.release_conn()
        text = f"S3: {key}: HTTP {response.status} for its signed link"
        if response.status in {404, 412}:
            raise NotFoundError(text)
        if response.status in {401, 403}:
            raise AccessDeniedError(f"{text}; it may have expired")
        raise StoreError(text)

    @translate_errors
    def head(self, key: str) -> Stored | None:
        try:
            found = self._client.stat_object(self._bucket, key)
        except S3Error as error:
            if error.code in ABSENT:
                return None
            raise
        return Stored(key, found.size or 0, (found.etag or "").strip('"'))

    def list(self, prefix: str) -> Iterator[Stored]:
        objects = self._client.list_objects(self._bucket, prefix=prefix, recursive=True)
        while (found := self._next(objects)) is not None:
            yield found

    @translate_errors
    def _next(self, objects: Iterator[Object]) -> Stored | None:
        found = next(objects, None)
        if found is None:
            return None
        etag = (found.etag or "").strip('"')
        return Stored(str(found.object_name), found.size or 0, etag, found.last_modified)

    @translate_errors
    def delete(self, keys: Iterable[str]) -> None:
        errors = list(self._client.remove_objects(self._bucket, (DeleteObject(key) for key in keys)))
        if errors:
            raise StoreError(f"S3: could not delete {len(errors)} objects, first: {errors[0].message}")

    def link(self, key: str) -> str:
        if self._settings.s3_links == "presigned":
            return self.signed_link(key, self._settings.s3_link_seconds)
        return f"{self._link_base}/{key}"

    @translate_errors
    def signed_link(self, key: str, lifetime_s: int) -> str:
        lifetime = timedelta(seconds=lifetime_s)
        return self._client.presigned_get_object(self._bucket, key, expires=lifetime).replace(",", "%2C")

    def user_links(self, key: str, lifetime_s: int) -> tuple[str, ...]:
        own = self.signed_link(key, lifetime_s)
        if not self._settings.s3_public_url:
            return (own,)
        public = signed_at(self._link_base, key, self._settings.s3_region, self.identity(), lifetime_s)
        return public, own

    def probe(self) -> None:
        """Put an object and read it back by its link, as a client would. Raises StoreError with the cure."""
        key = f"{keys.IMAGES}probe-{secrets.token_hex(8)}.txt"
        self.put(key, b"ImageBatch was here", Media("text/plain"))
        try:
            status = self._http.request("GET", self.link(key)).status
        except urllib3.exceptions.HTTPError as error:
            raise StoreError(
                f"links under {self._link_base} can't be reached ({error}); set IMAGEBATCH_S3_PUBLIC_URL "
                "to the address under which clients reach the bucket"
            ) from error
        finally:
            self.delete([key])
        if status != 200:
            raise AccessDeniedError(
                f"anonymous clients can't read {self._link_base}/{keys.IMAGES}… (HTTP {status}). Give the "
                f"bucket this policy, and on AWS switch its Block Public Access off, or set "
                f"IMAGEBATCH_S3_LINKS=presigned:\n{json.dumps(read_policy(self._bucket), indent=2)}"
            )


def _chunks(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    try:
        yield from response.stream(CHUNK_BYTES)
    except urllib3.exceptions.HTTPError as error:
        raise translated(error) from error
