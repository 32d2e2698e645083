"""Changes batches on Kubernetes: by the spec of their ImageBatch objects, which the operator follows.

The API changes the objects that it made, and no others. An object that kubectl made has a name and a
namespace of its own, which no row records; and whoever wrote its manifest, or the GitOps tool that holds it,
would undo what the API changes in it. The key of an upload's input tells them apart: nobody but an upload has
one (`Request.upload`). Its object is named after its request id, and has the uid that the row names, so a
later object of the same name is not taken for it.
"""

import asyncio
from collections.abc import Mapping

import structlog

from imagebatch.batch.control import TO_RUN
from imagebatch.custom_resource import ImageBatch
from imagebatch.errors import NotControlledError, RecordsError
from imagebatch.records import Records, Request
from imagebatch_api.image_batches import ImageBatches, ObjectChangedError, ObjectMissingError, ObjectsError

SHOWN_PAUSES_S = (0.1, 0.3, 1.0, 2.0, 2.0)
"""The operator commits an end in the row first, and shows it in the object a moment later."""

_NOT_UPLOADED = "this batch is an ImageBatch that was not uploaded here: change it with kubectl"
_GONE = "the batch's ImageBatch is gone, and nothing is left that could run it; upload the CSV again"

log = structlog.get_logger()


class KubernetesControl:
    """A `BatchControl` that patches and deletes objects."""

    def __init__(self, records: Records, objects: ImageBatches) -> None:
        self._records = records
        self._objects = objects

    def check(self, request: Request) -> None:
        if not request.upload:
            raise NotControlledError(_NOT_UPLOADED)

    async def change(self, request: Request, changes: Mapping[str, bool]) -> bool:
        self.check(request)
        try:
            await self._objects.patch(
                request.request_id, {"metadata": {"uid": request.owner}, "spec": dict(changes)}
            )
        except (ObjectMissingError, ObjectChangedError):
            raise NotControlledError(_GONE) from None
        return True

    async def retry(self, request: Request) -> None:
        """Raise the object's attempt, then open the row, which the operator would do a moment later."""
        self.check(request)
        wanted = request.attempt + 1
        await self._raise_attempt(request, wanted)
        try:
            await self._records.reopen(request.request_id, wanted, TO_RUN)
        except RecordsError as error:
            log.warning("the operator will reopen it", request_id=request.request_id, error=str(error))

    async def _raise_attempt(self, request: Request, wanted: int) -> None:
        for pause_s in SHOWN_PAUSES_S:
            batch = await self._object_of(request)
            if batch is None:
                raise NotControlledError(_GONE)
            if batch.attempt >= wanted:
                return
            if batch.is_shown_finished and await self._has_patched(batch, wanted):
                return
            await asyncio.sleep(pause_s)
        raise ObjectsError("the ImageBatch does not show its end yet")

    async def _has_patched(self, batch: ImageBatch, wanted: int) -> bool:
        """Raise the attempt of the object as it was read; False when it changed since."""
        version = {name: batch.metadata[name] for name in ("uid", "resourceVersion")}
        patch = {"metadata": version, "spec": {**TO_RUN, "attempt": wanted}}
        try:
            await self._objects.patch(batch.key.name, patch)
        except ObjectChangedError:
            return False
        return True

    async def remove(self, request: Request) -> bool:
        """Delete the object; it is gone when the operator has taken its finalizer off."""
        batch = await self._object_of(request)
        if batch is None:
            return True
        if not batch.is_deleted:
            try:
                await self._objects.delete(batch.key.name, batch.uid)
            except (ObjectMissingError, ObjectChangedError):
                return True
        return False

    async def _object_of(self, request: Request) -> ImageBatch | None:
        found = await self._objects.get(request.request_id)
        return ImageBatch(found) if found is not None and found["metadata"]["uid"] == request.owner else None

    def webhook_owed(self) -> None:
        """The operator looks into the outbox by itself, every few seconds."""
