"""The bucket on S3: the connection to it, whether it is well, and what is done with it as a whole.

`S3Store` has what is done with its objects. Private methods of the SDK are called where it has no others.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import wraps
from typing import ParamSpec, TypeVar

from minio.datatypes import ListMultipartUploadsResult, Object
from minio.error import S3Error

from imagebatch.errors import NotFoundError, StoreError
from imagebatch.settings import S3Settings
from imagebatch.storage.s3_access import client_for, http_pool, link_base, read_policy
from imagebatch.storage.s3_errors import translated
from imagebatch.storage.s3_health import S3Health, Trouble
from imagebatch.storage.s3_request import Identity, Place
from imagebatch.storage.s3_writer import SDK_ERRORS
from imagebatch.storage.store import Unfinished

P = ParamSpec("P")
R = TypeVar("R")


def translate_errors(call: Callable[P, R]) -> Callable[P, R]:
    @wraps(call)
    def translating(*args: P.args, **kwargs: P.kwargs) -> R:
        store = args[0]
        assert isinstance(store, S3Bucket)
        try:
            result = call(*args, **kwargs)
        except SDK_ERRORS as error:
            raise store._failed(error) from error  # noqa: SLF001 - a decorator of its own methods
        store.health.answered(is_well=True)
        return result

    return translating


class S3Bucket:
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

    @translate_errors
    def create_bucket(self) -> None:
        """Create the bucket, unless it exists, and set the policy that anonymous readers need."""
        if not self._client.bucket_exists(self._bucket):
            self._client.make_bucket(self._bucket)
        self._client.set_bucket_policy(self._bucket, json.dumps(read_policy(self._bucket)))

    # -- what is in it, beside objects -----------------------------------------------------------------

    def folders(self, prefix: str) -> Iterator[str]:
        found = self._client.list_objects(self._bucket, prefix=prefix)
        while (each := self._next_entry(found)) is not None:
            if each.endswith("/") and each != prefix:
                yield each

    @translate_errors
    def _next_entry(self, found: Iterator[Object]) -> str | None:
        each = next(found, None)
        return str(each.object_name) if each is not None else None

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """Pages begin behind a key, so of a key that has very many uploads some may be left out."""
        behind: str | None = None
        seen: set[str] = set()
        while True:
            page = self._uploads(prefix, behind)
            fresh = [each for each in page.uploads if each.upload_id and each.upload_id not in seen]
            for each in fresh:
                seen.add(str(each.upload_id))
                begun_at = each.initiated_time or datetime.now(UTC)
                if each.object_name.startswith(prefix):
                    yield Unfinished(each.object_name, str(each.upload_id), begun_at)
            behind = page.next_key_marker
            if not page.is_truncated or not behind or not fresh:
                return

    @translate_errors
    def _uploads(self, prefix: str, behind: str | None) -> ListMultipartUploadsResult:
        return self._client._list_multipart_uploads(self._bucket, prefix=prefix, key_marker=behind)  # noqa: SLF001

    @translate_errors
    def end(self, upload: Unfinished) -> None:
        try:
            self._client._abort_multipart_upload(self._bucket, upload.key, upload.upload_id)  # noqa: SLF001
        except S3Error as error:
            if error.code != "NoSuchUpload":
                raise

    @translate_errors
    def now(self) -> datetime:
        answer = self._client._execute("HEAD", self._bucket)  # noqa: SLF001 - see the module
        try:
            return parsedate_to_datetime(answer.headers.get("date", ""))
        except ValueError as error:
            raise StoreError("S3: its answers have no date") from error
