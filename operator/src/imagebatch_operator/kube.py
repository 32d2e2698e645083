"""The Kubernetes API as the operator uses it: objects are dicts, every call has a timeout.

Typed models would cost twenty times the CPU on lists of pods, and drop fields they don't know.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from imagebatch.custom_resource import API_VERSION, KIND, PLURAL, ImageBatch
from imagebatch.errors import UnavailableError

TIMEOUT_S = 20.0
BUSY = frozenset({429, 500, 502, 503, 504})
"""What a busy or restarting API server answers: worth asking again at once. Every call may be repeated."""

BUSY_PAUSES_S = (0.2, 1.0, 3.0)
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"

Json = dict[str, Any]


class KubeError(UnavailableError):
    """The API server did not do what was asked. `status` is its HTTP status, 0 when it did not answer."""

    reason = "KubernetesRefused"

    @property
    def is_worth_showing(self) -> bool:
        """Not when there was no answer, for then no status can be written; nor a conflict, which is over."""
        return self.status not in {0, 409}

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(f"Kubernetes: {message}")


class Kube:
    """The calls, each raising KubeError when it fails."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api

    # -- ImageBatches --------------------------------------------------------------------------------

    async def get_batch(self, namespace: str, name: str) -> Json | None:
        return await self._get(_batches(namespace, name))

    async def batch_ids(self, namespace: str) -> set[str]:
        """The request ids of all batches; a page at a time, for an object may have a whole CSV in it."""
        found: set[str] = set()
        query = {"limit": "100"}
        while True:
            page = await self._request("GET", _batches(namespace), query=query)
            found |= {ImageBatch(body).request_id for body in page["items"]}
            if not (token := page["metadata"].get("continue")):
                return found
            query["continue"] = token

    async def patch_batch(self, namespace: str, name: str, patch: Json) -> Json:
        """Merge `patch`; with a resourceVersion in its metadata, a change meanwhile is a 409."""
        return await self._request("PATCH", _batches(namespace, name), patch, MERGE)

    async def apply_status(self, batch: Json, status: Json, manager: str) -> Json:
        """Own exactly `status` of the object in the version that `batch` is; 409 when it changed since."""
        metadata = batch["metadata"]
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": metadata["name"], "resourceVersion": metadata["resourceVersion"]},
            "status": status,
        }
        path = f"{_batches(metadata['namespace'], metadata['name'])}/status"
        return await self._request("PATCH", path, body, APPLY, {"fieldManager": manager, "force": "true"})

    async def delete_batch(self, batch: Json) -> None:
        """Delete this very object, as it is; nothing happens when it changed or is gone."""
        metadata = batch["metadata"]
        options = {"preconditions": {name: metadata[name] for name in ("uid", "resourceVersion")}}
        await self._delete(_batches(metadata["namespace"], metadata["name"]), options)

    # -- Jobs and pods -------------------------------------------------------------------------------

    async def get_job(self, namespace: str, name: str) -> Json | None:
        return await self._get(_jobs(namespace, name))

    async def list_jobs(self, namespace: str, selector: str) -> list[Json]:
        return await self._list(_jobs(namespace), {"labelSelector": selector})

    async def create_job(self, job: Json) -> Json:
        return await self._request("POST", _jobs(job["metadata"]["namespace"]), job)

    async def patch_job(self, namespace: str, name: str, patch: Json) -> Json:
        return await self._request("PATCH", _jobs(namespace, name), patch, MERGE)

    async def delete_job(self, job: Json) -> None:
        """Delete this very Job and, in the background, its pods."""
        metadata = job["metadata"]
        options = {"propagationPolicy": "Background", "preconditions": {"uid": metadata["uid"]}}
        await self._delete(_jobs(metadata["namespace"], metadata["name"]), options)

    async def list_pods(self, namespace: str, selector: str) -> list[Json]:
        return await self._list(_core(namespace, "pods"), {"labelSelector": selector})

    async def delete_pod_now(self, pod: Json) -> None:
        """Forget a pod whose node does not answer, without waiting for the node."""
        metadata = pod["metadata"]
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
        await self._delete(_core(metadata["namespace"], "pods", metadata["name"]), options)

    # -- others --------------------------------------------------------------------------------------

    async def get_config_map(self, namespace: str, name: str) -> Json | None:
        return await self._get(_core(namespace, "configmaps", name))

    async def get_secret(self, namespace: str, name: str) -> Json | None:
        return await self._get(_core(namespace, "secrets", name))

    async def create_event(self, event: Json) -> None:
        await self._request("POST", _core(event["metadata"]["namespace"], "events"), event)

    async def list_events(self, namespace: str, field_selector: str) -> list[Json]:
        return await self._list(_core(namespace, "events"), {"fieldSelector": field_selector, "limit": "20"})

    # -- requests ------------------------------------------------------------------------------------

    async def _get(self, path: str) -> Json | None:
        try:
            return await self._request("GET", path)
        except KubeError as error:
            if error.status == 404:
                return None
            raise

    async def _list(self, path: str, query: Mapping[str, str]) -> list[Json]:
        items: list[Json] = (await self._request("GET", path, query=query))["items"]
        return items

    async def _delete(self, path: str, options: Json) -> None:
        body = {"kind": "DeleteOptions", "apiVersion": "v1", **options}
        try:
            await self._request("DELETE", path, body)
        except KubeError as error:
            if error.status not in {404, 409}:
                raise

    async def _request(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Json:
        """Ask, and again while the server is busy: a step of several calls would hardly ever get through."""
        for pause_s in BUSY_PAUSES_S:
            try:
                return await self._ask(method, path, body, content_type, query)
            except KubeError as error:
                if error.status not in BUSY:
                    raise
            await asyncio.sleep(pause_s * (0.5 + random.random()))  # noqa: S311 - jitter
        return await self._ask(method, path, body, content_type, query)

    async def _ask(
        self, method: str, path: str, body: Json | None, content_type: str, query: Mapping[str, str] | None
    ) -> Json:
        headers: dict[str, Any] = {"Content-Type": content_type, "Accept": "application/json"}
        url = f"{path}?{urlencode(query)}" if query else path
        try:
            prepared = await self._api.param_serialize(
                method, url, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            response = await self._api.call_api(*prepared, _request_timeout=TIMEOUT_S)
            data: bytes = await response.read()  # type: ignore[no-untyped-call]
        except (ApiException, aiohttp.ClientError, OSError, TimeoutError) as error:
            raise KubeError(0, f"{type(error).__name__}: {error}") from error
        answer = _json_object(data)
        if 200 <= response.status < 300 and answer is not None:
            return answer
        message = (answer or {}).get("message") or f"{method} {path}: HTTP {response.status}"
        raise KubeError(response.status, str(message))


def _json_object(data: bytes) -> Json | None:
    try:
        found = json.loads(data)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _batches(namespace: str, name: str = "") -> str:
    path = f"/apis/{API_VERSION}/namespaces/{namespace}/{PLURAL}"
    return f"{path}/{name}" if name else path


def _jobs(namespace: str, name: str = "") -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs{_tail(name)}"


def _core(namespace: str, plural: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/{plural}{_tail(name)}"


def _tail(name: str) -> str:
    return f"/{name}" if name else ""


@asynccontextmanager
async def connect() -> AsyncIterator[Kube]:
    """A client with the pod's own credentials or, outside a cluster, those of the kubeconfig."""
    settings = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        await config.load_kube_config(client_configuration=settings)  # type: ignore[no-untyped-call]
    async with client.ApiClient(configuration=settings) as api:
        yield Kube(api)
