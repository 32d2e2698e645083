"""A row of the table as a request."""

import asyncpg

from imagebatch.batch.lifecycle import Phase, Waiting
from imagebatch.outcome import Counts, Qualities
from imagebatch.records.models import Gain, Removed, Request, Suspension

ROW = "*, now() AS read_at"
"""What a statement gives of a row that `request_of` reads: when that was, by Postgres, is added."""


def request_of(found: "asyncpg.Record") -> Request:
    return Request(
        request_id=found["request_id"],
        owner=found["owner"],
        attempt=found["attempt"],
        status=found["status"],
        phase=Phase(found["phase"]),
        message=found["message"],
        error=found["error"],
        spec=found["spec"],
        input_sha256=found["input_sha256"],
        rows=found["rows"],
        counts=Counts(
            total=found["images"],
            succeeded=found["images_succeeded"],
            failed=found["images_failed"],
            bytes_in=found["bytes_in"],
            bytes_out=found["bytes_out"],
            skipped=found["images_skipped"],
        ),
        errors_by_code=found["errors_by_code"],
        output_key=found["output_key"],
        errors_key=found["errors_key"],
        report_key=found["report_key"],
        qualities=Qualities(**found["qualities"]),
        webhook_url=found["webhook_url"],
        webhook_secret=found["webhook_secret"],
        created_at=found["created_at"],
        started_at=found["started_at"],
        finished_at=found["finished_at"],
        uploaded_by=found["uploaded_by"],
        upload=found["upload"],
        reason=found["reason"],
        waiting=_waiting(found),
        suspension=Suspension(found["suspended_seconds"], found["suspended_at"]),
        removed=Removed(
            working_files=found["working_files_removed_at"],
            outputs=found["outputs_removed_at"],
            images=found["images_removed_at"],
        ),
        is_deleted=found["deleted_at"] is not None,
        store=found["store"],
        object=found["object"],
        lease_holder=found["lease_holder"],
        gain=Gain(found["gained_images"], found["gained_seconds"]),
        read_at=found["read_at"],
    )


def _waiting(found: "asyncpg.Record") -> Waiting | None:
    reason, is_pending = found["reason"], found["status"] == "pending"
    return Waiting(reason, found["waiting_message"]) if reason and is_pending else None
