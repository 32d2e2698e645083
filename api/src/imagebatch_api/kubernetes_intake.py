"""Takes batches in on Kubernetes: an ImageBatch object, for the operator, and the row, for GET /status.

The object is the promise. When its row can't be written, the operator writes it; the client gets its id
only after the object exists.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

import aiohttp
import structlog
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from imagebatch import keys, resource
from imagebatch.errors import ConflictError, OutcomeUnknownError, RecordsError
from imagebatch.lifecycle import Phase, Waiting
from imagebatch.records import NewRequest, Records, Request

TIMEOUT_S = 15.0

Json = Mapping[str, Any]

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

    async def create(self, body: dict[str, Any]) -> Json:
        """Create the object, or find the one of the same name."""
        where = (resource.GROUP, resource.VERSION, self.namespace, resource.PLURAL)
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
            return cast(Json, made)
        found = await self.get(body["metadata"]["name"])
        if found is None:
            raise ObjectsUnknownError("the ImageBatch was deleted meanwhile")
        return found

    async def get(self, name: str) -> Json | None:
        where = (resource.GROUP, resource.VERSION, self.namespace, resource.PLURAL, name)
        try:
            found = await self._objects.get_namespaced_custom_object(*where, _request_timeout=TIMEOUT_S)
        except ApiException as error:
            if error.status == 404:
                return None
            raise _translated(error) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _translated(error) from error
        return cast(Json, found)


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
        wanted = resource.of_upload(request, self._objects.namespace)
        made = await self._objects.create(wanted)
        if _source_key(made) != _source_key(wanted):
            return False
        try:
            await self._records.create(replace(request, owner=made["metadata"]["uid"]))
        except ConflictError:
            raise
        except RecordsError as error:
            log.warning("the operator will record it", request_id=request.request_id, error=str(error))
        return True

    async def find(self, request_id: str) -> Request | None:
        """A request as its object tells it, for one that has no row yet."""
        found = await self._objects.get(request_id)
        if found is None or found["spec"].get("requestId") != request_id:
            return None
        return request_of(found)


def _digest(found: Json) -> str:
    return str(found["metadata"].get("annotations", {}).get(resource.INPUT_SHA256, ""))


def _source_key(found: Json) -> str:
    """The key of an upload's canonical CSV, which no other upload has."""
    return str(found["spec"]["source"].get("s3", {}).get("key", ""))


def request_of(found: Json) -> Request:
    """The request that an object of an upload stands for."""
    status, spec, metadata = found.get("status", {}), found["spec"], found["metadata"]
    phase = Phase(status.get("phase", Phase.PENDING))
    return Request(
        request_id=spec["requestId"],
        owner=metadata["uid"],
        attempt=status.get("attempt", 1),
        status=phase.status,
        phase=phase,
        message=status.get("message", ""),
        error=status.get("error"),
        reason=status.get("reason", ""),
        waiting=_waiting(status, phase),
        spec=spec,
        input_sha256=_digest(found),
        rows=status.get("rows", 0),
        counts=resource.counts_of(status),
        errors_by_code=status.get("failures", {}),
        output_key=keys.output(spec["requestId"]) if "outputCsv" in status else None,
        errors_key=keys.errors(spec["requestId"]) if "errorsCsv" in status else None,
        report_key=keys.image_report(spec["requestId"]) if "reportCsv" in status else None,
        qualities=resource.qualities_of(status),
        webhook_url=spec.get("webhook", {}).get("url"),
        created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
        started_at=_moment(status.get("startTime")),
        finished_at=_moment(status.get("completionTime")),
        uploaded_by=resource.uploaded_by(metadata),
        upload=keys.upload_of_input(spec["requestId"], _source_key(found)) or "",
    )


def _waiting(status: Json, phase: Phase) -> Waiting | None:
    """Why nothing moves, as the object's Progressing condition says it."""
    if phase.is_terminal or not status.get("reason"):
        return None
    conditions = {found["type"]: found for found in status.get("conditions", ())}
    return Waiting(status["reason"], conditions.get("Progressing", {}).get("message", ""))


def _moment(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


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
