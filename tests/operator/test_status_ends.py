"""What a status says of a batch's end: one condition for every end, and why."""

import pytest

from imagebatch.batch.lifecycle import Phase
from imagebatch.outcome import Counts
from imagebatch.records import Request
from imagebatch_operator.status import status_of

from .conftest import MakeBatch, a_request
from .test_status import NOW


@pytest.mark.parametrize(
    ("view", "finished", "reason"),
    [
        (a_request(Phase.RUNNING), ("False", "NotFinished"), None),
        (a_request(Phase.COMPLETE), ("True", "Complete"), None),
        (
            a_request(Phase.FAILED, reason="DeadlineExceeded"),
            ("True", "DeadlineExceeded"),
            "DeadlineExceeded",
        ),
        (a_request(Phase.CANCELLED, reason="Cancelled"), ("True", "Cancelled"), "Cancelled"),
    ],
    ids=["running", "complete", "failed", "cancelled"],
)
def test_finished_is_true_at_every_end_with_its_reason(
    a_batch: MakeBatch, view: Request, finished: tuple[str, str], reason: str | None
) -> None:
    status = status_of(a_batch(), view, NOW)
    first = status["conditions"][0]
    assert (first["type"], first["status"], first["reason"]) == ("Finished", *finished)
    assert status.get("reason") == reason


def test_a_cancelled_batch_that_did_nothing_has_nothing_done(a_batch: MakeBatch) -> None:
    view = a_request(Phase.CANCELLED, counts=Counts(total=300_000, skipped=300_000))
    status = status_of(a_batch(), view, NOW)
    assert status["progress"] == "0/300000"
    assert status["images"] == {"total": 300_000, "succeeded": 0, "failed": 0, "skipped": 300_000}
