"""One upload from its first byte to the promise: the form's parts go through ingest straight to S3.

What is refused, or breaks off, leaves nothing on S3 and no row. The id is given to the client only after
the intake has taken the batch. Each upload's files on S3 have names of their own, so that what one removes
is never another's; and when nobody knows whether the intake has taken it, nothing is removed.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import structlog
from anyio import to_thread

from imagebatch.batch.spec import BatchSpec
from imagebatch.csv.ingest import ingest
from imagebatch.errors import (
    ConflictError,
    OutcomeUnknownError,
    RecordsError,
    StoreError,
)
from imagebatch.records import NewRequest, Request
from imagebatch.storage import keys
from imagebatch.storage.store_id import StoreId
from imagebatch_api.fields import Fields
from imagebatch_api.form import ContentType
from imagebatch_api.idempotency import Accepted, Found, accepted_as, request_id_of
from imagebatch_api.problems import RefusedError, unavailable
from imagebatch_api.services import Services
from imagebatch_api.upload_bounds import BUSY_RETRY_S, UploadBounds
from imagebatch_api.upload_reader import Incoming, UploadReader

RESUBMIT_PAUSES_S = (0.0, 0.5, 2.0, 5.0)
"""The pauses after failed tries to hand a batch to the intake: four tries in all."""

_UNKNOWN = (
    "the answer of the database was lost: the batch may be recorded, and then it will run. "
    "Upload it again with the same Idempotency-Key, which finds it if it is"
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Identity:
    """The id of an upload, and the request that an earlier upload with its key made."""

    request_id: str
    earlier: Request | None = None


Read = Callable[[Iterator[bytes]], Found]


class Uploads:
    """Takes uploads in, a bounded number at once."""

    def __init__(self, services: Services, reader: UploadReader, bounds: UploadBounds) -> None:
        self._services = services
        self._reader = reader
        self._bounds = bounds
        self._held: set[str] = set()
        self._store_id = StoreId(services.store)

    async def take(self, incoming: Incoming) -> Accepted:
        """Read the upload and promise to run it; once the promise is made it is kept.

        Raises RefusedError, InputRefusedError, StoreError or RecordsError; then nothing was promised.
        """
        fields = self._reader.fields(incoming)
        with self._bounds.room(incoming.owner):
            async with self._identity(incoming) as identity:
                if identity.earlier is not None:
                    return await self._repeat(identity.earlier, incoming, fields)
                return await self._take_new(identity.request_id, incoming, fields)

    # -- a new batch ---------------------------------------------------------------------------------

    async def _take_new(self, request_id: str, incoming: Incoming, fields: Fields) -> Accepted:
        upload = uuid.uuid4().hex
        places = keys.input_of_upload(request_id, upload)
        try:
            store = await to_thread.run_sync(self._store_id.get)
            found = await self._reader.receive(incoming, fields, self._ingest(request_id, places))
            spec = fields.batch_spec(self._services.policy)
        except BaseException:
            if fields.file_seen:
                await self._discard(places)
            raise
        new = NewRequest(
            request_id=request_id,
            spec=spec.as_spec(),
            input_sha256=found.sha256,
            rows=found.rows,
            images=found.images,
            webhook_url=fields.webhook_url,
            uploaded_by=incoming.owner,
            upload=upload,
            store=store,
        )
        if not await asyncio.shield(self._promise(new, places)):
            return await self._accept_earlier(request_id, found, spec, fields.webhook_url)
        log.info("upload accepted", request_id=request_id, rows=found.rows, images=found.images)
        return Accepted(request_id, found.rows, found.images, found.warnings)

    async def _promise(self, new: NewRequest, places: keys.InputKeys) -> bool:
        """Hand the batch to the intake; False when another upload with its id was first.

        Whoever asked may go away meanwhile; this goes on to its end.
        """
        try:
            is_promised = await self._submit(new)
        except ConflictError:
            raise
        except OutcomeUnknownError as error:
            log.warning(
                "whether the upload is accepted is not known", request_id=new.request_id, error=str(error)
            )
            raise unavailable("outcome_unknown", _UNKNOWN) from error
        except RecordsError as error:
            log.warning("upload not accepted", request_id=new.request_id, error=str(error))
            await self._discard(places)
            raise unavailable("not_accepted", "the batch could not be recorded; upload it again") from error
        if not is_promised:
            await self._discard(places)
        return is_promised

    async def _submit(self, new: NewRequest) -> bool:
        """Submit, and again after an error: once if nothing was done, up to three times if unknown."""
        failure: RecordsError | None = None
        for pause in RESUBMIT_PAUSES_S:
            try:
                return await self._services.intake.submit(new)
            except ConflictError:
                raise
            except RecordsError as error:
                if failure is not None and not isinstance(failure, OutcomeUnknownError):
                    raise
                failure = failure if isinstance(failure, OutcomeUnknownError) else error
            await asyncio.sleep(pause)
        assert failure is not None
        raise failure

    async def _discard(self, places: keys.InputKeys) -> None:
        """Remove what ingest stored under this upload's own names, though this task is being cancelled."""
        with anyio.CancelScope(shield=True):
            try:
                await to_thread.run_sync(self._services.store.delete, [places.canonical, places.plan])
            except StoreError as error:
                log.warning("a refused upload stays on S3", key=places.canonical, error=str(error))

    # -- the same upload again -----------------------------------------------------------------------

    async def _repeat(self, earlier: Request, incoming: Incoming, fields: Fields) -> Accepted:
        found = await self._reader.receive(incoming, fields, self._compare)
        spec = fields.batch_spec(self._services.policy)
        return accepted_as(earlier, found, spec, fields.webhook_url)

    async def _accept_earlier(
        self, request_id: str, found: Found, spec: BatchSpec, webhook_url: str | None
    ) -> Accepted:
        """The answer to an upload that another with its key overtook."""
        earlier = await self._services.find(request_id)
        if earlier is None:
            raise unavailable("not_accepted", "the batch could not be recorded; upload it again")
        return accepted_as(earlier, found, spec, webhook_url)

    @asynccontextmanager
    async def _identity(self, incoming: Incoming) -> AsyncIterator[_Identity]:
        """The upload's id. One from a key is held here as long as the upload runs, which saves work only: of
        two uploads to different programs the first that is promised counts, and they share nothing on S3.
        """
        if incoming.idempotency_key is None:
            yield _Identity(str(uuid.uuid4()))
            return
        request_id = request_id_of(incoming.idempotency_key, incoming.owner)
        if request_id in self._held:
            raise RefusedError(
                409, "upload_running", "an upload with this Idempotency-Key runs", retry_after_s=BUSY_RETRY_S
            )
        self._held.add(request_id)
        try:
            yield _Identity(request_id, await self._earlier(request_id))
        finally:
            self._held.discard(request_id)

    async def _earlier(self, request_id: str) -> Request | None:
        earlier = await self._services.find_or_deleted(request_id)
        if earlier is not None and earlier.is_deleted:
            raise RefusedError(
                409,
                "being_deleted",
                "the batch with this Idempotency-Key was deleted, and its files still are; try again later",
                retry_after_s=BUSY_RETRY_S,
            )
        return earlier

    # -- reading -------------------------------------------------------------------------------------

    def _ingest(self, request_id: str, places: keys.InputKeys) -> Callable[[ContentType, Fields], Read]:
        def reader(content_type: ContentType, fields: Fields) -> Read:
            encoding = fields.encoding(content_type)
            spec = fields.batch_spec(self._services.policy)

            def read(chunks: Iterator[bytes]) -> Found:
                done = ingest(
                    self._services.store,
                    request_id,
                    chunks,
                    encoding=encoding,
                    columns=spec.columns,
                    rows_per_shard=spec.rows_per_shard,
                    limits=self._reader.limits,
                    places=places,
                )
                return Found(done.plan.rows, done.plan.images, done.sha256, done.warnings)

            return read

        return reader

    def _compare(self, content_type: ContentType, fields: Fields) -> Read:
        """A reader that reads as ingest does, and stores nothing."""

        def read(chunks: Iterator[bytes]) -> Found:
            reader = self._reader.reader_of(chunks, content_type, fields)
            for _ in reader.canonical():
                pass
            return Found(len(reader.index), reader.images, reader.sha256, tuple(reader.warnings))

        return read
