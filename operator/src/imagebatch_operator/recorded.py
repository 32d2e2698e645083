"""The row of an object: made when there is none, reopened for another attempt, restored when it was lost."""

from dataclasses import replace

from imagebatch.batch.lifecycle import Ending
from imagebatch.batch.own_store import adopted
from imagebatch.batch.spec import BatchSpec
from imagebatch.custom_resource import ImageBatch
from imagebatch.errors import ConflictError, InputRefusedError, OtherStoreError, RecordsError
from imagebatch.records import Records, Request, Result
from imagebatch.storage.async_store import AsyncStore


async def recorded(records: Records, store: AsyncStore, batch: ImageBatch) -> Request:
    """The object's row.

    Raises ConflictError when it is another object's, FilesRemovedError when its next attempt can't begin,
    OtherStoreError for a pending batch whose objects are elsewhere, StoreError and RecordsError.
    """
    if batch.is_shown_finished and await records.get(batch.request_id) is None:
        await restore(records, batch)
    found = await records.ensure(replace(batch.new_request(), store=await store.store_id()))
    if found is not None and batch.restores and found.owner == restorable(batch.restores):
        found = await records.reown(batch.request_id, found.owner, batch.uid)
    if found is not None and found.owner == batch.uid and found.attempt < batch.attempt:
        await records.reopen(batch.request_id, batch.attempt)
        found = await records.get(batch.request_id)
    if found is None:
        raise RecordsError(f"the row of {batch.request_id} is being made or removed")
    if found.owner != batch.uid:
        raise ConflictError(f"the request id {batch.request_id} belongs to another object; leave it out")
    if found.attempt > batch.attempt:  # the API raises the object's first, then the row's: read it again
        raise RecordsError(f"the object of {batch.request_id} was read before its next attempt began")
    if found.status == "pending" and found.store not in {"", await store.store_id()}:
        found = await adopted(records, store, found)
        if found is None:
            raise OtherStoreError
    return found


def restorable(word: str) -> str:
    """The owner of a row that waits for an object which knows the word."""
    return f"restorable:{word}"


async def kept_as_wanted(records: Records, batch: ImageBatch, request: Request) -> Request:
    """The row with the days that the object has by now: they may be changed. Raises RecordsError."""
    try:
        wanted = BatchSpec.from_spec(batch.spec).keep.as_spec()
    except InputRefusedError:
        return request
    if wanted == request.spec.get("keepDays", {}):
        return request
    return await records.retentions.keep(request.request_id, wanted) or request


async def restore(records: Records, batch: ImageBatch) -> None:
    """Record the end that an object shows, when its row was lost; its webhook was sent, or is lost too."""
    made = await records.ensure(replace(batch.new_request(), webhook_url=None))
    if made is None or made.owner != batch.uid:
        return
    shown = batch.request()
    result = Result(
        counts=shown.counts,
        errors_by_code=shown.errors_by_code,
        output_key=shown.output_key,
        errors_key=shown.errors_key,
        report_key=shown.report_key,
        qualities=shown.qualities,
    )
    ending = Ending(shown.phase, shown.message, shown.error, shown.reason)
    await records.finish(replace(made, rows=shown.rows), ending, result, "", "")
