"""A batch on an API server without nodes, and who plays its Job: for tests of the operator."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from imagebatch.batch.shard import ShardId
from imagebatch.storage.store import ObjectStore
from imagebatch_testing.local import csv_of
from imagebatch_testing.waiting import until
from imagebatch_testing.without_nodes import JobController, Objects, leave_report, new_name

ROWS = 2
DATA = csv_of([[f"http://shop.example/{number}.jpg"] for number in range(ROWS)])
INLINE: dict[str, Any] = {"source": {"inline": DATA.decode()}, "sharding": {"rowsPerShard": 1}}


@dataclass(slots=True)
class Batch:
    """An object of a test, and who plays its Job."""

    name: str
    uid: str
    objects: Objects
    store: ObjectStore

    async def job(self, holds: Callable[[dict[str, Any]], bool] = lambda _: True) -> JobController:
        return JobController(self.objects, await self.objects.until_job(self.uid, holds))

    async def report(self, *indexes: int, request_id: str = "") -> None:
        for index in indexes:
            shard = ShardId(request_id or self.uid, 1, index)
            await asyncio.to_thread(leave_report, self.store, shard)

    async def finish(self) -> dict[str, Any]:
        """Have the shards done; the status of the end."""
        job = await self.job()
        await self.report(*range(ROWS))
        with suppress(AssertionError):  # the operator has seen the reports, and deleted it
            await job.complete(*range(ROWS))
        return await self.until_phase("Complete")

    async def until_phase(self, phase: str) -> dict[str, Any]:
        return await self.objects.until_status(self.name, lambda status: status.get("phase") == phase)

    async def until_events(self, *reasons: str) -> list[str]:
        """The reasons of its Events, once all of these are there: they are posted after the status is written."""
        found: list[str] = []

        async def are_there() -> bool:
            found[:] = [event["reason"] for event in await self.objects.events(self.name)]
            return set(reasons) <= set(found)

        await until(are_there)
        return found


Make = Callable[..., Awaitable[Batch]]


def maker(objects: Objects, bucket: ObjectStore) -> Make:
    """What creates batches: of `given`, or a CSV of two rows and two shards, and further fields of the spec."""

    async def create(stem: str, given: dict[str, Any] | None = None, **spec: Any) -> Batch:
        made = await objects.create(new_name(stem), {**(INLINE if given is None else given), **spec})
        return Batch(made["metadata"]["name"], made["metadata"]["uid"], objects, bucket)

    return create


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((found for found in status.get("conditions", ()) if found["type"] == kind), {})
