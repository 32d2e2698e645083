"""What the page is made of: which pictures a running batch shows, and how numbers are written."""

from datetime import UTC, datetime
from typing import Any

import pytest

from imagebatch.batch.lifecycle import Phase
from imagebatch.outcome import Counts
from imagebatch.records import Request
from imagebatch.storage import keys
from imagebatch.storage.store import Media
from imagebatch_api.page import recent
from imagebatch_api.page.render import change, duration, saved, size
from imagebatch_testing.memory_store import MemoryStore

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class ListedStore(MemoryStore):
    """Remembers what it was asked to list."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def list(self, prefix: str) -> Any:
        self.asked.append(prefix)
        return super().list(prefix)


def test_the_pictures_of_a_large_batch_are_looked_for_where_it_is() -> None:
    store = ListedStore()
    batch = Request(
        request_id="b", owner="", attempt=1, status="pending", phase=Phase.RUNNING, message="", error=None, spec={},
        input_sha256="", rows=500_000, counts=Counts(500_000, 250_100, 0), errors_by_code={}, output_key=None,
        errors_key=None, webhook_url=None, created_at=NOW, started_at=NOW, finished_at=None,
    )  # fmt: skip
    folder = keys.image_prefix(batch.request_id)
    for row in (1, 249_950, 250_050):
        store.put(folder + keys.image_name(row, 1, "jpg"), b"x", Media.image("image/jpeg"))
    assert {picture.row for picture in recent.pictures(store, batch)} == {249_950, 250_050}
    assert store.asked == [f"{folder}0249", f"{folder}0250"]


@pytest.mark.parametrize(
    ("bytes_", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_949, "99.9 kB"), (100_000, "100 kB"), (999_600, "1.0 MB"),
     (1.5e15, "1500 TB"), (None, "?")],
)  # fmt: skip
def test_bytes_are_written_as_people_read_them(bytes_: float | None, text: str) -> None:
    assert size(bytes_) == text


def test_times_and_savings_are_written_as_people_read_them() -> None:
    assert [duration(seconds) for seconds in (0.4, 59, 200, 3900)] == [
        "0 s",
        "59 s",
        "3 min 20 s",
        "1 h 5 min",
    ]
    assert [saved(30, 90), saved(99, 90), saved(1, None)] == ["67% smaller", "10% larger", "?"]
    assert [change(30, 90), change(99, 90), change(90, 90)] == ["\u221267%", "+10%", "0%"]
