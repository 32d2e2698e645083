"""GET /batches/{request_id}/images: pages of the report, whatever is in it, and cursors that can't be forged."""

import base64
import csv
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagebatch.batch.lifecycle import Ending, Phase
from imagebatch.csv import report_page, rows
from imagebatch.csv.report_page import image_of, read
from imagebatch.errors import InputRefusedError
from imagebatch.outcome import Counts
from imagebatch.records import NewRequest, Records, Result
from imagebatch.storage import keys
from imagebatch.storage.s3 import S3Store
from imagebatch.storage.store import CSV, ObjectStore
from imagebatch_testing.memory_store import MemoryStore

from .conftest import Connect, MakeApp

STORED = ["1", "1", "7", "Shoe", "https://a.test/1.jpg", "https://s3/1.jpg", "", "",
          "jpeg", "webp", "800", "600", "1000", "400", "90", "exact", "45", "resized flattened"]  # fmt: skip
FAILED = ["2", "1", "8", 'A "hat"', "https://a.test/2.jpg", "", "http_status", "HTTP 404", *[""] * 10]
SKIPPED = [
    "3",
    "1",
    "9",
    "Bag\nin two lines",
    "https://a.test/3.jpg",
    "",
    "not_tried",
    "not tried",
    *[""] * 10,
]
KEY = keys.image_report("r1")


def report_of(
    table: Sequence[Sequence[str]], delimiter: str = ",", line_end: str = "\n", bom: str = ""
) -> bytes:
    records = [rows.record(cells, line_end, delimiter) for cells in (rows.REPORT_COLUMNS, *table)]
    return (bom + "".join(records)).encode()


class CountingStore(MemoryStore):
    """Counts the bytes that are read."""

    bytes_read = 0

    def get(self, key: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> bytes:
        data = super().get(key, offset=offset, length=length, etag=etag)
        self.bytes_read += len(data)
        return data


def all_pages(store: ObjectStore, limit: int, outcome: str | None = None) -> list[list[dict[str, Any]]]:
    pages, after = [], None
    while True:
        page = read(store, KEY, after, limit, outcome)
        pages.append(page.images)
        after = page.next_after
        if after is None:
            return pages


def test_an_image_is_shown_in_full(store: MemoryStore) -> None:
    store.put(KEY, report_of([STORED, FAILED]), CSV)
    stored, failed = read(store, KEY, None, 100, None).images
    assert stored == {
        "row": 1,
        "slot": 1,
        "serial_number": "7",
        "product_name": "Shoe",
        "input_url": "https://a.test/1.jpg",
        "output_url": "https://s3/1.jpg",
        "error_code": None,
        "error": None,
        "source_format": "jpeg",
        "format": "webp",
        "width": 800,
        "height": 600,
        "bytes_in": 1000,
        "bytes_out": 400,
        "source_quality": 90,
        "quality_basis": "exact",
        "quality": 45,
        "notes": ["resized", "flattened"],
    }
    assert (failed["product_name"], failed["output_url"], failed["error_code"]) == (
        'A "hat"',
        None,
        "http_status",
    )
    assert (failed["width"], failed["notes"]) == (None, [])


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["plain", "BOM"])
def test_pages_are_the_same_in_every_dialect(
    store: MemoryStore, delimiter: str, line_end: str, bom: str
) -> None:
    store.put(KEY, report_of([STORED, FAILED, SKIPPED], delimiter, line_end, bom), CSV)
    pages = all_pages(store, 1)
    assert pages == [[image_of(cells)] for cells in (STORED, FAILED, SKIPPED)]


TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('",;\r\n\t'), max_size=12)


@given(
    texts=st.lists(st.tuples(TEXT, TEXT), max_size=12),
    limit=st.integers(1, 5),
    delimiter=st.sampled_from(rows.DELIMITERS),
    line_end=st.sampled_from(["\n", "\r\n"]),
    read_bytes=st.integers(260, 300),
)
@settings(max_examples=60)
def test_pages_have_every_image_once_whatever_stands_in_its_cells(
    texts: list[tuple[str, str]], limit: int, delimiter: str, line_end: str, read_bytes: int
) -> None:
    table = [[str(row), "1", *pair, *STORED[4:]] for row, pair in enumerate(texts, 1)]
    store = MemoryStore()
    store.put(KEY, report_of(table, delimiter, line_end), CSV)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(report_page, "READ_BYTES", read_bytes)
        pages = all_pages(store, limit)
    assert [image for page in pages for image in page] == [image_of(cells) for cells in table]
    assert all(len(page) == limit for page in pages[:-1])


def test_a_report_without_images_is_an_empty_page(store: MemoryStore) -> None:
    store.put(KEY, report_of([]), CSV)
    assert all_pages(store, 1) == [[]]


@pytest.mark.parametrize(
    ("outcome", "row"), [("succeeded", STORED), ("failed", FAILED), ("skipped", SKIPPED)]
)
def test_an_outcome_is_asked_for(store: MemoryStore, outcome: str, row: list[str]) -> None:
    store.put(KEY, report_of([STORED, FAILED, SKIPPED]), CSV)
    assert [image for page in all_pages(store, 1, outcome) for image in page] == [image_of(row)]


def test_a_page_costs_the_same_wherever_it_lies() -> None:
    store = CountingStore()
    store.put(KEY, report_of([[str(row), *STORED[1:]] for row in range(1, 20_001)]), CSV)
    costs, after = [], None
    while True:
        store.bytes_read = 0
        page = read(store, KEY, after, 1000, None)
        costs.append(store.bytes_read)
        after = page.next_after
        if after is None:
            break
    assert len(costs) == 20
    assert max(costs) <= 3 * report_page.READ_BYTES


def test_a_rare_outcome_is_looked_for_in_bounded_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_page, "READ_BYTES", 4096)
    monkeypatch.setattr(report_page, "MAX_BYTES", 40_000)
    store = CountingStore()
    store.put(KEY, report_of([*([STORED] * 2000), FAILED]), CSV)
    after, pages, found = None, 0, []
    while True:
        store.bytes_read = 0
        page = read(store, KEY, after, 10, "failed")
        assert store.bytes_read <= 40_000 + 3 * 4096
        pages, after = pages + 1, page.next_after
        found += page.images
        if after is None:
            break
    assert found == [image_of(FAILED)]
    assert pages > 4


def test_a_cursor_is_good_for_its_own_report_only(store: MemoryStore) -> None:
    store.put(KEY, report_of([STORED, FAILED]), CSV)
    other = keys.image_report("r2")
    store.put(other, report_of([STORED, SKIPPED]), CSV)
    after = read(store, KEY, None, 1, None).next_after
    assert after is not None
    with pytest.raises(InputRefusedError):
        read(store, other, after, 1, None)
    store.put(KEY, report_of([FAILED, STORED]), CSV)
    with pytest.raises(InputRefusedError):
        read(store, KEY, after, 1, None)


@given(
    st.text(max_size=40) | st.binary(min_size=27, max_size=27).map(base64.urlsafe_b64encode).map(bytes.decode)
)
def test_no_text_is_a_cursor_by_chance(after: str) -> None:
    store = MemoryStore()
    store.put(KEY, report_of([STORED, FAILED]), CSV)
    with pytest.raises(InputRefusedError):
        read(store, KEY, after, 1, None)


@pytest.mark.parametrize("change", range(27))
def test_a_cursor_that_was_changed_is_refused(store: MemoryStore, change: int) -> None:
    store.put(KEY, report_of([STORED, FAILED]), CSV)
    after = read(store, KEY, None, 1, None).next_after
    assert after is not None
    data = bytearray(base64.urlsafe_b64decode(after))
    data[change] ^= 1
    with pytest.raises(InputRefusedError):
        read(store, KEY, base64.urlsafe_b64encode(data).decode(), 1, None)


@pytest.mark.parametrize("offset", range(0, 700, 13))
def test_even_a_cursor_with_the_right_seal_breaks_nothing(store: MemoryStore, offset: int) -> None:
    """The owner of a report can know its ETag; then he reads his own report from a wrong place at worst."""
    store.put(KEY, report_of([STORED, FAILED, SKIPPED]), CSV)
    stored = store.head(KEY)
    assert stored is not None
    forged = report_page._sealed(report_page.Position(offset, 0, 0), stored)
    try:
        read(store, KEY, forged, 10, None)
    except InputRefusedError as error:
        assert error.problems[0].code == "invalid_parameter"


@pytest.mark.integration
def test_the_real_store_gives_the_same_pages(s3_store: S3Store) -> None:
    s3_store.put(KEY, report_of([STORED, FAILED, SKIPPED]), CSV)
    assert all_pages(s3_store, 2) == [[image_of(STORED), image_of(FAILED)], [image_of(SKIPPED)]]


@pytest.mark.anyio
@pytest.mark.integration
class TestOverHttp:
    @pytest.fixture
    async def client(
        self, make_app: MakeApp, connect: Connect, records: Records
    ) -> AsyncIterator[httpx.AsyncClient]:
        async with connect(make_app(records=records)) as connected:
            yield connected

    async def finished(self, records: Records, report_key: str | None = KEY) -> None:
        await records.create(NewRequest(request_id="r1"))
        request = await records.get("r1")
        assert request is not None
        result = Result(Counts(3, 1, 1, 9, 4, skipped=1), report_key=report_key)
        assert await records.finish(request, Ending(Phase.COMPLETE, "done"), result, "{}", "msg_1")

    async def test_a_report_is_read_page_by_page(
        self, client: httpx.AsyncClient, records: Records, store: MemoryStore
    ) -> None:
        await self.finished(records)
        store.put(KEY, report_of([STORED, FAILED, SKIPPED]), CSV)
        first = (await client.get("/batches/r1/images", params={"limit": 2})).json()
        assert [image["row"] for image in first["images"]] == [1, 2]
        second = await client.get("/batches/r1/images", params={"limit": 2, "after": first["next_after"]})
        assert [image["row"] for image in second.json()["images"]] == [3]
        assert second.json()["next_after"] is None

    async def test_there_are_no_images_before_the_end(
        self, client: httpx.AsyncClient, records: Records
    ) -> None:
        await records.create(NewRequest(request_id="r1"))
        answer = await client.get("/batches/r1/images")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "no_report")

    async def test_a_report_that_is_gone_is_404(self, client: httpx.AsyncClient, records: Records) -> None:
        await self.finished(records)
        assert (await client.get("/batches/r1/images")).status_code == 404

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=1001", "outcome=pending", "outcome=", "after=x", "after=", "page=2"]
    )
    async def test_a_bad_query_is_refused(
        self, client: httpx.AsyncClient, records: Records, store: MemoryStore, query: str
    ) -> None:
        await self.finished(records)
        store.put(KEY, report_of([STORED]), CSV)
        answer = await client.get(f"/batches/r1/images?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "invalid_parameter")


def test_the_reports_of_merge_are_read_as_csv_reads_them() -> None:
    table = list(csv.reader(io.StringIO(report_of([STORED, SKIPPED]).decode(), newline="")))
    assert [image_of(cells) for cells in table[1:]] == [image_of(STORED), image_of(SKIPPED)]
