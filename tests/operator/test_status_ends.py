"""What a status says of a batch's end: one condition for every end, and why."""

import pytest

from imagebatch.lifecycle import Phase
from imagebatch.outcome import Counts
from imagebatch_operator.status import View, status_of

from .conftest import MakeBatch
from .test_status import NOW


@pytest.mark.parametrize(
    ("view", "finished", "reason"),
    [
        (View(phase=Phase.RUNNING), ("False", "NotFinished"), None),
        (View(phase=Phase.COMPLETE), ("True", "Complete"), None),
        (
            View(phase=Phase.FAILED, reason="DeadlineExceeded"),
            ("True", "DeadlineExceeded"),
            "DeadlineExceeded",
        ),
        (View(phase=Phase.CANCELLED, reason="Cancelled"), ("True", "Cancelled"), "Cancelled"),
    ],
    ids=["running", "complete", "failed", "cancelled"],
)
def test_finished_is_true_at_every_end_with_its_reason(
    a_batch: MakeBatch, view: View, finished: tuple[str, str], reason: str | None
) -> None:
    status = status_of(a_batch(), view, NOW)
    first = status["conditions"][0]
    assert (first["type"], first["status"], first["reason"]) == ("Finished", *finished)
    assert status.get("reason") == reason


def test_a_cancelled_batch_that_did_nothing_has_nothing_done(a_batch: MakeBatch) -> None:
    view = View(phase=Phase.CANCELLED, counts=Counts(total=300_000, skipped=300_000))
    status = status_of(a_batch(), view, NOW)
    assert status["progress"] == "0/300000"
    assert status["images"] == {"total": 300_000, "succeeded": 0, "failed": 0, "skipped": 300_000}
