"""The object store on S3, by the MinIO SDK.

Knows every S3: endpoint, region, path or virtual-host addressing, keys or the AWS chain (environment,
IRSA, instance role). This is the one place that does conditional puts: `Minio.put_object` would turn
`If-None-Match` into user metadata, so they go through the SDK's request signer directly.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from typing import ParamSpec, TypeVar

import urllib3
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from imagebatch.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    NotFoundError,
    StoreError,
)
from imagebatch.settings import S3Settings
from imagebatch.storage import keys
from imagebatch.storage.s3_access import client_for, http_pool, link_base, read_policy
from imagebatch.storage.s3_errors import ABSENT, translated
from imagebatch.storage.s3_health import S3Health, Trouble
from imagebatch.storage.s3_links import signed_at
from imagebatch.storage.s3_request import Identity, Place
from imagebatch.storage.s3_writer import SDK_ERRORS, S3Writer, headers_of
from imagebatch.storage.store import Media, Stored

CHUNK_BYTES = 256 * 1024
CONFLICT_PAUSES_S = (0.1, 0.3, 1.0, 3.0)

P = ParamSpec("P")
R = TypeVar("R")


def _translate_errors(call: Callable[P, R]) -> Callable[P, R]:
    @wraps(call)
    def translating(*args: P.args, **kwargs: P.kwargs) -> R:
        store = args[0]
        assert isinstance(store, S3Store)
        try:
            result = call(*args, **kwargs)
        except SDK_ERRORS as error:
            raise store._failed(error) from error  # noqa: SLF001 - a decorator of its own methods
        store.health.answered(is_well=True)
        return result

    return translating


class S3Store:
    """One bucket. Safe to use from several threads."""

    def __init__(
        self,
        settings: S3Settings,
        *,
        connections: int = 16,
        retries: int = 4,
        signed: Mapping[str, str] | None = None,
        trouble: Trouble = lambda: None,
    ) -> None:
        """`signed` are objects that are read with a signed link, for these credentials may not read them.
        `trouble` says better than S3 why it refuses, where it knows.
        """
        self._settings = settings
        self._signed = signed or {}
        self._bucket = settings.s3_bucket
        self._http = http_pool(connections, retries)
        self._client = client_for(settings, self._http)
        self._link_base = link_base(settings)
        self.health = S3Health(settings.s3_endpoint, trouble)

    def close(self) -> None:
        self._http.clear()

    def _failed(self, error: Exception) -> StoreError:
        """The error of ours for an error of the SDK; `check` knows of it."""
        failure = translated(error)
        is_answer = isinstance(failure, NotFoundError)
        self.health.answered(is_well=is_answer)
        return failure if is_answer else self.health.trouble() or failure

    def check(self) -> None:
        self.health.check(self)

    def put(self, key: str, data: bytes, media: Media, *, only_if_absent: bool = False) -> Stored:
        with self.health.storing():
            return self._put_once_decided(key, data, media, only_if_absent=only_if_absent)

    @_translate_errors
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

    def identity(self) -> Identity:
        """Ask the provider of credentials, which may ask a service. Raises AccessDeniedError, StoreError."""
        try:
            found = self._client._provider.retrieve()  # type: ignore[union-attr]  # noqa: SLF001 - see the module
        except SDK_ERRORS as error:
            raise translated(error) from error
        return Identity(found.access_key, found.secret_key, found.session_token or "", found.is_expired)

    def place(self) -> Place:
        """Where the SDK says that the bucket is. Does no I/O where the settings name a region."""
        url, region = self._client._base_url, self._client._get_region(self._bucket)  # noqa: SLF001
        found = url.build(method="GET", region=region, bucket_name=self._bucket, object_name="x")
        return Place(found.scheme, found.netloc, found.path.removesuffix("/x"), region)

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

    @_translate_errors
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

    @_translate_errors
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

    @_translate_errors
    def _next(self, objects: Iterator[object]) -> Stored | None:
        found = next(objects, None)
        if found is None:
            return None
        return Stored(found.object_name, found.size or 0, (found.etag or "").strip('"'))  # type: ignore[attr-defined]

    @_translate_errors
    def delete(self, keys: Iterable[str]) -> None:
        errors = list(self._client.remove_objects(self._bucket, (DeleteObject(key) for key in keys)))
        if errors:
            raise StoreError(f"S3: could not delete {len(errors)} objects, first: {errors[0].message}")

    def link(self, key: str) -> str:
        if self._settings.s3_links == "presigned":
            return self.signed_link(key, self._settings.s3_link_seconds)
        return f"{self._link_base}/{key}"

    @_translate_errors
    def signed_link(self, key: str, lifetime_s: int) -> str:
        lifetime = timedelta(seconds=lifetime_s)
        return self._client.presigned_get_object(self._bucket, key, expires=lifetime).replace(",", "%2C")

    def user_links(self, key: str, lifetime_s: int) -> tuple[str, ...]:
        own = self.signed_link(key, lifetime_s)
        if not self._settings.s3_public_url:
            return (own,)
        public = signed_at(self._link_base, key, self._settings.s3_region, self.identity(), lifetime_s)
        return public, own

    @_translate_errors
    def create_bucket(self) -> None:
        """Create the bucket, unless it exists, and set the policy that anonymous readers need."""
        if not self._client.bucket_exists(self._bucket):
            self._client.make_bucket(self._bucket)
        self._client.set_bucket_policy(self._bucket, json.dumps(read_policy(self._bucket)))

    @_translate_errors
    def abort_uploads(self) -> int:
        """End uploads that were begun and never completed; only where nobody else uploads now."""
        bucket, ended = self._bucket, 0
        for upload in self._client._list_multipart_uploads(bucket).uploads:  # noqa: SLF001 - see the module
            self._client._abort_multipart_upload(bucket, upload.object_name, upload.upload_id or "")  # noqa: SLF001
            ended += 1
        return ended

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
