"""The ImageBatch objects of the API's namespace, by the Kubernetes API."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from imagebatch import custom_resource
from imagebatch.errors import OutcomeUnknownError, RecordsError

TIMEOUT_S = 15.0
REFUSALS = range(400, 500)
"""The statuses with which the API server says that it did nothing, except 408."""


class ObjectsError(RecordsError):
    """The API server did not do what was asked."""


class ObjectsUnknownError(ObjectsError, OutcomeUnknownError):
    """The API server did not answer: it may have done what was asked."""


class ObjectMissingError(ObjectsError):
    """There is no such object."""


class ObjectChangedError(ObjectsError):
    """The object is another, or another version, than the one that was meant; or one is there already."""


class ImageBatches:
    """The ImageBatch objects of one namespace. Every call raises ObjectsError when it fails."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._objects = client.CustomObjectsApi(api)
        self._where = (custom_resource.GROUP, custom_resource.VERSION, namespace, custom_resource.PLURAL)
        self.namespace = namespace

    async def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Create the object, or find the one of the same name."""
        try:
            with _errors_translated():
                made = await self._objects.create_namespaced_custom_object(
                    *self._where, body, _request_timeout=TIMEOUT_S
                )
        except ObjectChangedError:
            found = await self.get(body["metadata"]["name"])
            if found is None:
                raise ObjectsUnknownError("the ImageBatch was deleted meanwhile") from None
            return found
        return cast(dict[str, Any], made)

    async def get(self, name: str) -> dict[str, Any] | None:
        try:
            with _errors_translated():
                found = await self._objects.get_namespaced_custom_object(
                    *self._where, name, _request_timeout=TIMEOUT_S
                )
        except ObjectMissingError:
            return None
        return cast(dict[str, Any], found)

    async def patch(self, name: str, patch: dict[str, Any]) -> None:
        """Merge `patch`. With a uid or a resourceVersion in its metadata, another object or version raises
        ObjectChangedError.
        """
        with _errors_translated():
            await self._objects.patch_namespaced_custom_object(
                *self._where, name, patch, _request_timeout=TIMEOUT_S
            )

    async def delete(self, name: str, uid: str) -> None:
        """Delete this very object. Raises ObjectMissingError, or ObjectChangedError for a later one."""
        only = client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=uid))
        with _errors_translated():
            await self._objects.delete_namespaced_custom_object(
                *self._where, name, body=only, _request_timeout=TIMEOUT_S
            )


@contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except (ApiException, aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _translated(error) from error


def _translated(error: Exception) -> ObjectsError:
    reason = getattr(error, "reason", "") or str(error)
    status = getattr(error, "status", None)
    was_refused = status in REFUSALS and status != 408
    is_known = was_refused or isinstance(error, aiohttp.ClientConnectorError)
    kinds = {404: ObjectMissingError, 409: ObjectChangedError}
    kind = kinds.get(status or 0, ObjectsError) if is_known else ObjectsUnknownError
    return kind(f"Kubernetes: {type(error).__name__}: {reason}")


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
