"""One object on its way to S3, part by part; `S3Store.writing` makes it, finishes it and aborts it.

Nobody sees the object before it is whole: S3 shows a multipart upload when it is completed. The SDK has
`put_object` for that, which pulls from one stream until its end; merge pushes to three. So the four requests
of an upload are sent by the SDK's own methods for them, in this one place.
"""

from contextlib import suppress

import urllib3
from minio import Minio
from minio.datatypes import Part
from minio.error import MinioException

from imagebatch.storage.store import Media, Stored

PART_BYTES = 5 * 1024 * 1024
"""All parts but the last have this size: S3 takes no smaller ones, and some servers want equal ones."""

SDK_ERRORS = (MinioException, urllib3.exceptions.HTTPError)
Headers = dict[str, str | list[str] | tuple[str]]


class S3Writer:
    """Holds up to one part. What fits into one is put in one request. Raises the SDK's errors."""

    def __init__(self, client: Minio, bucket: str, key: str, headers: Headers) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._headers = headers
        self._pending = bytearray()
        self._size = 0
        self._upload_id = ""
        self._parts: list[Part] = []
        self._stored: Stored | None = None

    @property
    def stored(self) -> Stored:
        assert self._stored is not None, "it is still being written"
        return self._stored

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            if len(self._pending) == PART_BYTES:
                self._send_part()
            taken = rest[: PART_BYTES - len(self._pending)]
            self._pending += taken
            rest = rest[len(taken) :]

    def finish(self) -> None:
        """Store what is held, and show the object."""
        if self._upload_id:
            self._send_part()
            etag = self._client._complete_multipart_upload(  # noqa: SLF001 - see the module
                self._bucket, self._key, self._upload_id, self._parts
            ).etag
        else:
            etag = self._client._put_object(  # noqa: SLF001 - see the module
                self._bucket, self._key, self._taken(), self._headers
            ).etag
        self._stored = Stored(self._key, self._size, (etag or "").strip('"'))

    def abort(self) -> None:
        """Drop what was sent. When that fails, a sweep ends it later (`imagebatch.batch.sweep`)."""
        if self._upload_id and self._stored is None:
            with suppress(*SDK_ERRORS):  # the error that it is aborted for says more
                self._client._abort_multipart_upload(  # noqa: SLF001 - see the module
                    self._bucket, self._key, self._upload_id
                )

    def _send_part(self) -> None:
        if not self._upload_id:
            self._upload_id = self._client._create_multipart_upload(  # noqa: SLF001 - see the module
                self._bucket, self._key, self._headers
            )
        number = len(self._parts) + 1
        etag = self._client._upload_part(  # noqa: SLF001 - see the module
            self._bucket, self._key, self._taken(), None, self._upload_id, number
        )
        self._parts.append(Part(number, etag))

    def _taken(self) -> bytes:
        data = bytes(self._pending)
        self._pending.clear()
        self._size += len(data)
        return data


def headers_of(media: Media) -> Headers:
    """Under which headers S3 stores an object, and serves it."""
    headers: Headers = {"Content-Type": media.content_type}
    if media.cache_control:
        headers["Cache-Control"] = media.cache_control
    if media.disposition:
        headers["Content-Disposition"] = media.disposition
    return headers
