"""Follows an object to its end, by a watch of the API server."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from imagebatch_cli.kubectl.cluster import Cluster
from imagebatch_cli.kubectl.documents import batch_of
from imagebatch_cli.kubectl.errors import ClusterError
from imagebatch_client import Batch

PATIENCE_S = 60.0
PAUSE_S = 1.0
GONE = 410
"""The version after which changes were asked for is too old: the object is read again."""

Json = dict[str, Any]


class DeletedError(ClusterError):
    """The object was deleted while it was watched."""


async def follow_object(cluster: Cluster, name: str) -> AsyncGenerator[Batch, None]:
    """The batch as it stands, and after each change, up to its end. Raises ClusterError, DeletedError."""
    last: Batch | None = None
    async with aclosing(bodies(cluster, name)) as found:
        async for body in found:
            batch = batch_of(body)
            if batch != last:
                yield batch
            last = batch
            if batch.is_finished:
                return


async def bodies(cluster: Cluster, name: str) -> AsyncGenerator[Json, None]:
    """The object, again and again, however often the stream of its changes ends. Raises as above."""
    body: Json | None = await cluster.get(name)
    well_s = time.monotonic()
    while True:
        try:
            body = body or await cluster.get(name)
            yield body
            async with aclosing(cluster.watch(name, body["metadata"]["resourceVersion"])) as events:
                async for event in events:
                    yield _object(name, event)
                    well_s = time.monotonic()
        except ClusterError as error:
            if not _may_pass(error) or time.monotonic() - well_s > PATIENCE_S:
                raise
            await asyncio.sleep(PAUSE_S)
        body = None


def _object(name: str, event: Json) -> Json:
    body: Json = event["object"]
    if event["type"] == "ERROR":
        raise ClusterError(int(body.get("code", 0)), str(body.get("message", "the watch ended")))
    if event["type"] == "DELETED":
        raise DeletedError(404, f"the ImageBatch {name} was deleted")
    return body


def _may_pass(error: ClusterError) -> bool:
    return error.status in {0, 429, 500, 503, 504, GONE}
