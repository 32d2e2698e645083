"""What a batch's page shows of a batch at its end: what failed, with what to do, and a page of pictures."""

from dataclasses import dataclass
from typing import Any

from imagebatch.csv import report_page
from imagebatch.csv.report_page import ReportPage
from imagebatch.errors import NotFoundError
from imagebatch.outcome import EXPLANATIONS, ErrorCode, Explanation
from imagebatch.records import Request
from imagebatch.storage.store import ObjectStore

PICTURES = 24
FAILURES = 50


@dataclass(frozen=True, slots=True)
class Failure:
    """Failed images of one code, and what can be done."""

    code: str
    count: int
    explanation: Explanation
    images: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Results:
    """`pictures` is None where there is no report, or it is no longer kept."""

    failures: list[Failure]
    pictures: ReportPage | None


def read(store: ObjectStore, batch: Request, after: str | None) -> Results:
    """Read the first failures, and the page of pictures behind `after`. Blocks.

    Raises InputRefusedError for a cursor that is none of this report, StoreError.
    """
    if not batch.report_key or batch.removed.outputs is not None:
        return Results(_failures(batch, []), None)
    try:
        pictures = report_page.read(store, batch.report_key, after, PICTURES, "succeeded")
        is_first = after is None and batch.counts.failed
        failed = (
            report_page.read(store, batch.report_key, None, FAILURES, "failed").images if is_first else []
        )
    except NotFoundError:
        return Results(_failures(batch, []), None)
    return Results(_failures(batch, failed) if after is None else [], pictures)


def _failures(batch: Request, images: list[dict[str, Any]]) -> list[Failure]:
    """By code, the commonest first, as the batch counts them; of each the images that were read."""
    counted = sorted(batch.errors_by_code.items(), key=lambda item: (-item[1], item[0]))
    return [
        Failure(
            code, number, EXPLANATIONS[ErrorCode(code)], [one for one in images if one["error_code"] == code]
        )
        for code, number in counted
    ]
