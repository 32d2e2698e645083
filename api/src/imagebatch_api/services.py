"""What the API works with: built once by the program that runs it, passed down from there."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from imagebatch.batch.intake import BatchIntake
from imagebatch.net.guard import AddressPolicy
from imagebatch.records import Records, Request
from imagebatch.storage.store import ObjectStore


@dataclass(frozen=True, slots=True)
class Services:
    """`ready` names what is not ready, nothing when all is; without it Postgres and S3 are asked."""

    store: ObjectStore
    records: Records
    intake: BatchIntake
    policy: AddressPolicy
    ready: Callable[[], Awaitable[list[str]]] | None = None

    async def find(self, request_id: str) -> Request | None:
        """A request by its row or, where the row is not written yet, by what else was promised."""
        return await self.records.get(request_id) or await self.intake.find(request_id)
