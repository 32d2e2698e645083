"""Takes batches in on Kubernetes: an ImageBatch object, for the operator, and the row, for GET /status.

The object is the promise. When its row can't be written, the operator writes it; the client gets its id
only after the object exists.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import aiohttp
import structlog
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from imagebatch import custom_resource
from imagebatch.custom_resource import ImageBatch
from imagebatch.errors import ConflictError, OutcomeUnknownError, RecordsError
from imagebatch.records import NewRequest, Records, Request

TIMEOUT_S = 15.0

log = structlog.get_logger()


REFUSALS = range(400, 500)
"""The statuses with which the API server says that it did nothing, but for 408."""


class ObjectsError(RecordsError):
    """The API server did not do what was asked."""


class ObjectsUnknownError(ObjectsError, OutcomeUnknownError):
    """The API server did not answer: it may have done what was asked."""


class ImageBatches:
    """The ImageBatch objects of one namespace. Every call raises ObjectsError when it fails."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._objects = client.CustomObjectsApi(api)
        self.namespace = namespace

    async def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Create the object, or find the one of the same name."""
        where = (custom_resource.GROUP, custom_resource.VERSION, self.namespace, custom_resource.PLURAL)
        try:
            made = await self._objects.create_namespaced_custom_object(
                *where, body, _request_timeout=TIMEOUT_S
            )
        except ApiException as error:
            if error.status != 409:
                raise _translated(error) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _translated(error) from error
        else:
            return cast(dict[str, Any], made)
        found = await self.get(body["metadata"]["name"])
        if found is None:
            raise ObjectsUnknownError("the ImageBatch was deleted meanwhile")
        return found

    async def get(self, name: str) -> dict[str, Any] | None:
        where = (custom_resource.GROUP, custom_resource.VERSION, self.namespace, custom_resource.PLURAL, name)
        try:
            found = await self._objects.get_namespaced_custom_object(*where, _request_timeout=TIMEOUT_S)
        except ApiException as error:
            if error.status == 404:
                return None
            raise _translated(error) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _translated(error) from error
        return cast(dict[str, Any], found)


def _translated(error: Exception) -> ObjectsError:
    reason = getattr(error, "reason", "") or str(error)
    status = getattr(error, "status", None)
    was_refused = status in REFUSALS and status != 408
    is_known = was_refused or isinstance(error, aiohttp.ClientConnectorError)
    kind = ObjectsError if is_known else ObjectsUnknownError
    return kind(f"Kubernetes: {type(error).__name__}: {reason}")


class KubernetesIntake:
    """A `BatchIntake` that creates objects."""

    def __init__(self, records: Records, objects: ImageBatches) -> None:
        self._records = records
        self._objects = objects

    async def submit(self, request: NewRequest) -> bool:
        """Create the object, then the row. Raises ObjectsError when there is no object."""
        wanted = custom_resource.of_upload(request, self._objects.namespace)
        made = ImageBatch(await self._objects.create(wanted))
        if made.source_key != wanted["spec"]["source"]["s3"]["key"]:
            return False
        try:
            await self._records.create(replace(request, owner=made.uid))
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


@asynccontextmanager
async def connect(namespace: str) -> AsyncIterator[ImageBatches]:
    """A client with the pod's own credentials or, outside a cluster, those of the kubeconfig."""
    settings = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        await config.load_kube_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    async with client.ApiClient(configuration=settings) as api:
        yield ImageBatches(api, namespace)
