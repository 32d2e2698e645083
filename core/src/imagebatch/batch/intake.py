"""Takes a batch in: on one machine by its row, on Kubernetes by an ImageBatch object and its row."""

from collections.abc import Callable
from typing import Protocol

from imagebatch.records import NewRequest, Records, Request

Wake = Callable[[str], None]
"""Wakes an engine: the request with this id wants attention."""


class BatchIntake(Protocol):
    """Takes a batch in, so that it is run even if every program restarts."""

    async def submit(self, request: NewRequest) -> bool:
        """Promise to run it. Its canonical CSV and plan are on S3 already, under names of its own.

        False when another upload with its id was first: then this one is not run. Raises
        OutcomeUnknownError when it may be promised and the answer was lost: the same call may be made
        again, and what is on S3 must stay. Any other RecordsError means that nothing was promised.
        """
        ...

    async def find(self, request_id: str) -> Request | None:
        """A request that was taken in and has no row yet, where there can be one. Raises RecordsError."""
        ...


class RecordedIntake:
    """Takes a batch in by its row alone, and wakes the engine of this process."""

    def __init__(self, records: Records, wake: Wake) -> None:
        self._records = records
        self._wake = wake

    async def submit(self, request: NewRequest) -> bool:
        is_ours = await self._records.create(request) or await self._is_recorded(request)
        if is_ours:
            self._wake(request.request_id)
        return is_ours

    async def _is_recorded(self, request: NewRequest) -> bool:
        """Whether the row that is there is this very upload's, by an earlier call whose answer was lost."""
        found = await self._records.get(request.request_id)
        return found is not None and found.upload == request.upload

    async def find(self, request_id: str) -> Request | None:  # noqa: ARG002 - the row is the promise
        return None
