"""What can be done to a batch that was taken in: cancel, suspend, resume, retry, delete."""

from collections.abc import Mapping
from dataclasses import replace

from imagebatch.batch.lifecycle import Phase, Waiting
from imagebatch.errors import FilesRemovedError
from imagebatch.records import Request
from imagebatch_api.problems import RefusedError
from imagebatch_api.services import Services

CANCEL = {"cancel": True}
SUSPEND = {"suspend": True}
RESUME = {"suspend": False}

_SHOWN_AS = {
    "cancel": Waiting("Stopping", "what runs is being stopped"),
    "suspend": Waiting("Suspended", "what runs is being stopped until the batch is resumed"),
}
"""What an answer says of a change that is recorded, and carried out a moment later."""


class Verbs:
    """Does what is asked for, and returns the changed request. Raises RefusedError where it can't be done."""

    def __init__(self, services: Services) -> None:
        self._with = services

    async def change(self, request: Request, changes: Mapping[str, bool]) -> Request:
        """Cancel, suspend or resume a batch that is not at its end."""
        if request.status == "pending" and await self._with.control.change(request, changes):
            return _with_change(await self._again(request), changes)
        request = await self._again(request)
        if changes == CANCEL and request.phase is Phase.CANCELLED:
            return request
        raise RefusedError(409, "already_finished", f"the batch is at its end: {request.phase.value}")

    async def retry(self, request: Request) -> Request:
        """Begin another attempt, which does what failed or was not tried."""
        _refuse_running(request)
        if not request.counts.failed and not request.counts.skipped:
            raise RefusedError(409, "nothing_to_retry", "no image of the batch failed or was skipped")
        if (since := request.removed.prevents_retry) is not None:
            raise FilesRemovedError(since)
        await self._with.control.retry(request)
        return await self._again(request)

    async def delete(self, request: Request) -> None:
        """Delete a finished batch for every reader; `purge` removes what it left."""
        _refuse_running(request)
        self._with.control.check(request)
        if not await self._with.records.deletions.mark(request.request_id):
            _refuse_running(await self._again(request))
        self._with.deleted.set()

    async def _again(self, request: Request) -> Request:
        found = await self._with.find(request.request_id)
        if found is None:
            raise unknown_request()
        return found


def unknown_request() -> RefusedError:
    return RefusedError(404, "unknown_request", "there is no request with this id")


def _refuse_running(request: Request) -> None:
    if request.status == "pending":
        raise RefusedError(409, "still_running", "the batch is not at its end; cancel it, or wait for it")


def _with_change(request: Request, changes: Mapping[str, bool]) -> Request:
    """The request with what was asked for just now, where the row does not say it yet."""
    if request.status != "pending":
        return request
    for name, is_wanted in changes.items():
        shown = _SHOWN_AS[name]
        if is_wanted:
            return replace(request, waiting=shown, reason=shown.reason)
        if request.waiting is not None and request.waiting.reason == shown.reason:
            return replace(request, waiting=None, reason="")
    return request
