"""What the API works with: built once by the program that runs it, passed down from there."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from imagebatch.batch.control import BatchControl
from imagebatch.batch.intake import BatchIntake
from imagebatch.metrics import BatchMetrics
from imagebatch.net.guard import AddressPolicy
from imagebatch.records import Records, Request
from imagebatch.storage.store import ObjectStore


@dataclass(frozen=True, slots=True)
class Services:
    """`ready` names what is not ready, nothing when all is; without it Postgres and S3 are asked. `metrics`
    are of the batches that this program drives, where it does.

    `deleted` is set when a batch was deleted, for `purge`; the server sets `stopping` when it stops, and
    streams that are open end then.
    """

    store: ObjectStore
    records: Records
    intake: BatchIntake
    control: BatchControl
    policy: AddressPolicy
    ready: Callable[[], Awaitable[list[str]]] | None = None
    metrics: BatchMetrics | None = None
    deleted: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def find(self, request_id: str) -> Request | None:
        """A request by its row or, where the row is not written yet, by what else was promised."""
        found = await self.find_or_deleted(request_id)
        return None if found is None or found.is_deleted else found

    async def find_or_deleted(self, request_id: str) -> Request | None:
        """As `find`; also a deleted one whose objects are not removed yet."""
        found = await self.records.get_or_deleted(request_id) or await self.intake.find(request_id)
        refusal = self.records.writes.refusal
        if found is None or found.status != "pending" or refusal is None:
            return found
        return replace(found, waiting=refusal, reason=refusal.reason)  # no row can say so
