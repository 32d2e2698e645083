"""The end of a batch, committed: the row, its links and the webhook, the same for every executor."""

import structlog

from imagebatch import webhook
from imagebatch.batch.lifecycle import Ending
from imagebatch.csv.merge import Merged
from imagebatch.records import Records, Request, Result
from imagebatch.storage.store import ObjectStore

log = structlog.get_logger()


async def commit(
    records: Records, store: ObjectStore, request: Request, ending: Ending, merged: Merged | None
) -> Request | None:
    """Record how a batch ended, and put its webhook into the outbox; whoever is first decides.

    Returns the row, or None when somebody else was first. `merged` is None when there were no rows, so no
    CSVs were written. Raises RecordsError.
    """
    counts = merged.counts if merged is not None else request.counts.ended()
    result, link = Result(counts), None
    if merged is not None:
        result = Result(
            counts=counts,
            errors_by_code=merged.errors,
            output_key=merged.output_key,
            errors_key=merged.errors_key,
            report_key=merged.report_key,
            qualities=merged.qualities,
        )
        link = store.link(merged.output_key)
    body = webhook.body(request.request_id, ending, link, counts)
    message_id = webhook.webhook_id(request.request_id, request.attempt)
    ended = await records.finish(request, ending, result, body, message_id)
    if ended is not None:
        log.info(
            "batch ended", request_id=request.request_id, phase=ending.phase.value, message=ending.message
        )
    return ended
