"""ImageBatch objects by the API server of a cluster, as whoever has the kubeconfig. Objects are dicts."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException

from imagebatch.custom_resource import API_VERSION, KIND, PLURAL
from imagebatch_cli.kubectl.errors import ClusterError, KubeconfigError

TIMEOUT_S = 20.0
WATCH_S = 300
"""How long the API server sends changes; then it ends the stream and is asked again."""

SILENCE = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=WATCH_S + 30)
PAGE = 250
MERGE = "application/merge-patch+json"
DRY_RUN = {"dryRun": "All"}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cluster:
    """One namespace. The calls raise ClusterError."""

    api: client.ApiClient
    namespace: str

    async def get(self, name: str) -> Json:
        return await self._request("GET", self._batches(name))

    async def list_all(self) -> list[Json]:
        """Every ImageBatch of the namespace, newest first."""
        found: list[Json] = []
        query: dict[str, str] = {"limit": str(PAGE)}
        while True:
            page = await self._request("GET", self._batches(), query=query)
            found += page["items"]
            token = page["metadata"].get("continue")
            if not token:
                break
            query["continue"] = token
        return sorted(found, key=_by_time, reverse=True)

    async def create(self, batch: Json, *, dry_run: bool = False) -> Json:
        """Create it or, by a dry run, have everything judged and nothing kept."""
        return await self._request("POST", self._batches(), batch, query=DRY_RUN if dry_run else None)

    async def create_config_map(self, config_map: Json, *, dry_run: bool = False) -> None:
        query = DRY_RUN if dry_run else None
        await self._request("POST", self._core("configmaps"), config_map, query=query)

    async def change(self, name: str, spec: Json) -> Json:
        """Merge `spec` into the object's."""
        return await self._request("PATCH", self._batches(name), {"spec": spec}, MERGE)

    async def annotate(self, name: str, annotation: str, value: str) -> None:
        patch = {"metadata": {"annotations": {annotation: value}}}
        await self._request("PATCH", self._batches(name), patch, MERGE)

    async def delete(self, name: str, uid: str) -> None:
        """Delete this very object."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": uid}}
        await self._request("DELETE", self._batches(name), options)

    async def events(self, name: str) -> list[Json]:
        """What happened to it lately, oldest first."""
        selector = f"involvedObject.kind={KIND},involvedObject.name={name}"
        query = {"fieldSelector": selector, "limit": str(PAGE)}
        found: list[Json] = (await self._request("GET", self._core("events"), query=query))["items"]
        return sorted(
            found, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or "")
        )

    async def watch(self, name: str, version: str) -> AsyncGenerator[Json, None]:
        """Its changes after a version, until the API server ends the stream: {"type", "object"}."""
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_S),
        }
        response = await self._send("GET", f"{self._batches()}?{urlencode(query)}", timeout=SILENCE)
        try:
            if response.status != 200:
                raise _refusal(response.status, await response.read())
            async for line in _lines(response.content):
                yield json.loads(line)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise _no_answer(error) from error
        finally:
            response.close()

    # -- requests ------------------------------------------------------------------------------------

    def _batches(self, name: str = "") -> str:
        return f"/apis/{API_VERSION}/namespaces/{self.namespace}/{PLURAL}{'/' if name else ''}{name}"

    def _core(self, plural: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/{plural}"

    async def _request(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        content_type: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Json:
        url = f"{path}?{urlencode(query)}" if query else path
        response = await self._send(method, url, body, content_type)
        try:
            data = await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _no_answer(error) from error
        if not 200 <= response.status < 300:
            raise _refusal(response.status, data)
        found: Json = json.loads(data)
        return found

    async def _send(
        self,
        method: str,
        url: str,
        body: Json | None = None,
        content_type: str = "application/json",
        timeout: aiohttp.ClientTimeout | float = TIMEOUT_S,  # noqa: ASYNC109 - aiohttp's own
    ) -> aiohttp.ClientResponse:
        headers: dict[str, Any] = {"Content-Type": content_type, "Accept": "application/json"}
        try:
            prepared = await self.api.param_serialize(
                method, url, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            answer = await self.api.call_api(*prepared, _request_timeout=timeout)
        except (ApiException, aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _no_answer(error) from error
        found: aiohttp.ClientResponse = answer.response
        return found


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Whole lines; one has an object in it, which may be longer than any buffer."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line


def _by_time(batch: Json) -> tuple[str, str]:
    metadata = batch["metadata"]
    return metadata["creationTimestamp"], metadata["name"]


def _no_answer(error: Exception) -> ClusterError:
    return ClusterError(0, f"no answer from the cluster: {type(error).__name__}: {error}")


def _refusal(status: int, data: bytes) -> ClusterError:
    try:
        message = str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        message = f"HTTP {status} from the cluster"
    return ClusterError(status, message)


@asynccontextmanager
async def connect(context: str | None, namespace: str | None) -> AsyncIterator[Cluster]:
    """By the kubeconfig or, in a pod without one, by its own account. Raises KubeconfigError."""
    settings = client.Configuration()
    own_namespace = await _load(settings, context)
    async with client.ApiClient(configuration=settings) as api:
        yield Cluster(api, namespace or own_namespace or "default")


async def _load(settings: client.Configuration, context: str | None) -> str | None:
    """The namespace of the context, where it names one."""
    try:
        loader = await config.load_kube_config(context=context, client_configuration=settings)  # type: ignore[no-untyped-call]
        namespace: str | None = loader.current_context["context"].get("namespace")
    except config.ConfigException as error:
        try:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        except config.ConfigException:
            raise KubeconfigError(f"the kubeconfig can't be used: {error}") from error
        return None
    return namespace
