"""Takes batches in on Kubernetes: an ImageBatch object, for the operator, and the row, for GET /status.

The object is the promise. When its row can't be written, the operator writes it; the client gets its id
only after the object exists.
"""

from dataclasses import replace

import structlog

from imagebatch import manifests
from imagebatch.custom_resource import ImageBatch
from imagebatch.errors import ConflictError, RecordsError
from imagebatch.records import NewRequest, Records, Request
from imagebatch_api.image_batches import ImageBatches

log = structlog.get_logger()


class KubernetesIntake:
    """A `BatchIntake` that creates objects."""

    def __init__(self, records: Records, objects: ImageBatches) -> None:
        self._records = records
        self._objects = objects

    async def submit(self, request: NewRequest) -> bool:
        """Create the object, then the row. Raises ObjectsError when there is no object."""
        wanted = manifests.of_upload(request, self._objects.namespace)
        made = ImageBatch(await self._objects.create(wanted))
        if made.source_key != wanted["spec"]["source"]["s3"]["key"]:
            return False
        try:
            await self._records.create(replace(request, owner=made.uid, object="/".join(made.key)))
        except ConflictError:
            raise
        except RecordsError as error:
            log.warning("the operator will record it", request_id=request.request_id, error=str(error))
        return True

    async def find(self, request_id: str) -> Request | None:
        """A request as its object shows it, for one that has no row yet."""
        found = await self._objects.get(request_id)
        if found is None or found["spec"].get("requestId") != request_id:
            return None
        return ImageBatch(found).request()
