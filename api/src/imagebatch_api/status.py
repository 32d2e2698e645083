"""What GET /status says of a request."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from imagebatch.batch.lifecycle import Phase
from imagebatch.outcome import Qualities
from imagebatch.records import Request

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def is_request_id(text: str) -> bool:
    """Whether a request could have this id at all."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultLinks:
    """Where the files of a batch are; None for those that it has not."""

    output_csv: str | None = None
    errors_csv: str | None = None
    report_csv: str | None = None


def status_document(request: Request, links: ResultLinks) -> dict[str, Any]:
    """The status as JSON: the assignment's four fields first, then how far the batch is."""
    counts = request.counts
    return {
        "request_id": request.request_id,
        "status": request.status,
        "output_csv": links.output_csv,
        "error": request.error,
        "phase": request.phase.value,
        "message": request.message,
        "reason": request.reason or None,
        "waiting": request.waiting.message if request.waiting else None,
        "progress": progress(request),
        "rows": request.rows,
        "images": counts.images(),
        "bytes": {"in": counts.bytes_in, "out": counts.bytes_out},
        "failures": dict(request.errors_by_code),
        "quality": _quality(request.qualities) if request.report_key or request.removed.outputs else None,
        "errors_csv": links.errors_csv,
        "report_csv": links.report_csv,
        "removed": {
            "working_files": timestamp(request.removed.working_files),
            "outputs": timestamp(request.removed.outputs),
            "images": timestamp(request.removed.images),
        },
        "created_at": timestamp(request.created_at),
        "finished_at": timestamp(request.finished_at),
    }


def _quality(known: Qualities) -> dict[str, Any]:
    return {
        "exact": known.exact,
        "approximate": known.approximate,
        "assumed": known.assumed,
        "kept": known.kept,
        "encoded": known.encoded,
        "requantised": known.requantised,
        "source_mean": known.source_mean,
        "encoded_mean": known.encoded_mean,
    }


def progress(request: Request) -> float:
    """The part of the images that is done, from 0 to 1."""
    if request.phase is Phase.COMPLETE:
        return 1.0
    counts = request.counts
    return round(min(counts.done / counts.total, 1.0), 4) if counts.total else 0.0


def timestamp(moment: datetime | None) -> str | None:
    """RFC 3339, in UTC."""
    if moment is None:
        return None
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
