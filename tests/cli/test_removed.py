"""What `kubectl imagebatch` says of a batch whose files are no longer kept. Pure."""

from typing import Any

import pytest

from imagebatch.errors import InputRefusedError
from imagebatch_cli.commands.results import check_end
from imagebatch_cli.kubectl import changes
from imagebatch_cli.kubectl.documents import batch_of, document_of
from imagebatch_cli.results import NoResultError


def ended(**removed: str) -> dict[str, Any]:
    """An object some of whose images failed, and whose CSVs have no links."""
    return {
        "metadata": {
            "name": "products",
            "namespace": "shop",
            "uid": "u1",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"source": {"inline": "a,b\n"}},
        "status": {
            "phase": "Complete",
            "attempt": 1,
            "images": {"total": 2, "succeeded": 1, "failed": 1},
            "removed": removed,
        },
    }


@pytest.mark.parametrize("kind", ["workingFiles", "images"])
def test_a_retry_is_refused_once_what_it_needs_is_gone(kind: str) -> None:
    with pytest.raises(InputRefusedError, match=r"removed on 2026-02-03, .*submit the CSV again"):
        changes.retry(ended(**{kind: "2026-02-03T04:05:06Z"}))
    assert changes.retry(ended(outputs="2026-02-03T04:05:06Z"))["attempt"] == 2


def test_results_that_are_gone_are_told_with_their_day() -> None:
    body = ended(outputs="2026-02-03T04:05:06Z")
    assert document_of(body)["removed"] == {
        "working_files": None,
        "outputs": "2026-02-03T04:05:06.000Z",
        "images": None,
    }
    with pytest.raises(NoResultError, match="were removed on 2026-02-03"):
        check_end(batch_of(body), "kubectl imagebatch")
