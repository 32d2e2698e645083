"""What an upload would be, as the API's dry run and both commands `check` say it."""

import itertools
import tracemalloc

import pytest

from imagebatch.csv import check
from imagebatch.csv.check import HostCounter, checked
from imagebatch.csv.columns import ColumnOptions
from imagebatch.csv.ingest import Reader

EXPORT = b"""Handle,Title,Image Src,Price
shoe,Shoe,"https://a.test/1.jpg,https://B.test/2.jpg",1.50
hat,Hat,https://a.test/3.jpg,2.50
"""


def test_a_file_is_told_with_its_hosts_and_columns() -> None:
    found = checked(Reader(iter([EXPORT]), columns=ColumnOptions.parse({"preset": "shopify"})))
    assert found.document() == {
        "rows": 2,
        "images": 3,
        "hosts": [{"host": "a.test", "images": 2}, {"host": "b.test", "images": 1}],
        "warnings": [],
        "columns": {"serial": "Handle", "name": "Title", "links": ["Image Src"]},
    }


def test_hosts_are_counted_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "MAX_HOSTS", 200)
    counter = HostCounter()
    numbers = itertools.count()
    tracemalloc.start()
    for _ in range(5):
        for _ in range(4000):
            counter.add(f"https://h{next(numbers)}.test/1.jpg")
            counter.add("https://often.test/1.jpg")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1024 * 1024
    assert counter.most_common(1) == [("often.test", 20_000)]
