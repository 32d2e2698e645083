"""Changes a batch that was taken in: on one machine by its row, on Kubernetes by its object."""

from collections.abc import Callable, Mapping
from typing import Protocol

from imagebatch.batch.intake import Wake
from imagebatch.records import Records, Request

TO_RUN: Mapping[str, bool] = {"suspend": False, "cancel": False}
"""The fields of a spec that hold a batch up, both off; a new attempt begins with them."""


class BatchControl(Protocol):
    """Changes batches. Every call may raise NotControlledError and RecordsError; each may be made again."""

    def check(self, request: Request) -> None:
        """Raise NotControlledError for a batch that only its creator may change."""
        ...

    async def change(self, request: Request, changes: Mapping[str, bool]) -> bool:
        """Change a pending batch's `suspend` and `cancel`; False when it is at its end by now."""
        ...

    async def retry(self, request: Request) -> None:
        """Begin the attempt after that of a finished `request`, unless it has begun."""
        ...

    async def remove(self, request: Request) -> bool:
        """Remove what would run a deleted batch, but not its row or its objects on S3; whether it is gone."""
        ...

    def webhook_owed(self) -> None:
        """Have what is due in the outbox sent soon."""
        ...


class RecordedControl:
    """Changes the row, and wakes the engine and the dispatcher of this process."""

    def __init__(self, records: Records, wake: Wake, wake_dispatcher: Callable[[], None]) -> None:
        self._records = records
        self._wake = wake
        self._wake_dispatcher = wake_dispatcher

    def check(self, request: Request) -> None:
        """The row is all there is."""

    async def change(self, request: Request, changes: Mapping[str, bool]) -> bool:
        is_changed = await self._records.change_spec(request.request_id, changes) is not None
        self._wake(request.request_id)
        return is_changed

    async def retry(self, request: Request) -> None:
        await self._records.reopen(request.request_id, request.attempt + 1, TO_RUN)
        self._wake(request.request_id)

    async def remove(self, request: Request) -> bool:  # noqa: ARG002 - a finished batch has no processes
        return True

    def webhook_owed(self) -> None:
        self._wake_dispatcher()
