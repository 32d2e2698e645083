"""Merging fragments into the output CSV and errors.csv."""

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch import links
from imagebatch.batch import checkpoint
from imagebatch.batch.plan import Plan
from imagebatch.batch.shard import FRAGMENT_COLUMNS, Report, ShardId, commit, write_fragment
from imagebatch.csv import rows
from imagebatch.csv.image_cells import CellMaker
from imagebatch.csv.ingest import ingest
from imagebatch.csv.merge import Merged, merge
from imagebatch.csv.tally import Tally
from imagebatch.outcome import Counts, ErrorCode, ImageOutcome, Qualities
from imagebatch.storage import keys
from imagebatch.storage.store import CSV
from imagebatch_testing.memory_store import MemoryStore

A, B = "http://a/1.jpg", "http://b/w_1,h_2/2.jpg"


def outcome(row: int, slot: int, *, failed: bool) -> ImageOutcome:
    if failed:
        return ImageOutcome(row=row, slot=slot, error=ErrorCode.HTTP_STATUS, message="HTTP 404")
    return ImageOutcome(
        row=row, slot=slot, name=keys.image_name(row, slot, "jpg"), bytes_in=10, bytes_out=4,
        source_format="jpeg", format="webp", source_quality=90, quality=45, quality_basis="exact",
        notes=("flattened", "pages_dropped"),
    )  # fmt: skip


def planned(store: MemoryStore, table: list[tuple[str, str, str]], step: int = 2) -> Plan:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows([rows.COLUMNS, *table])
    return ingest(store, "r1", [text.getvalue().encode()], rows_per_shard=step).plan


def finish_shard(
    store: MemoryStore, plan: Plan, index: int, failing: frozenset[tuple[int, int]] = frozenset()
) -> None:
    """Write what a jobrunner would for one shard."""
    shard = plan.shards[index]
    data = store.get(keys.canonical_input("r1"), offset=shard.offset, length=shard.length)
    outcomes = [
        outcome(number, slot, failed=(number, slot) in failing)
        for number, cells in enumerate(rows.parse([data]), shard.first_row)
        for slot in range(1, len(links.split(cells[2])) + 1)
    ]
    fragment = write_fragment(store, ShardId("r1", 1, index), "run1", outcomes)
    commit(store, ShardId("r1", 1, index), Report("run1", fragment, shard.rows, Counts()))


def table_of(store: MemoryStore, key: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(store.get(key).decode("utf-8-sig"), newline="")))


def link(store: MemoryStore, row: int, slot: int) -> str:
    return store.link(keys.image_prefix("r1") + keys.image_name(row, slot, "jpg"))


def test_the_nth_output_belongs_to_the_nth_input(store: MemoryStore) -> None:
    plan = planned(store, [("1", "Shirt", f"{A},{B},{A}"), ("2", "Nothing", ""), ("3", "Hat", B)])
    finish_shard(store, plan, 0, frozenset({(1, 2)}))
    finish_shard(store, plan, 1)
    merged = merge(store, "r1", 1, plan)
    assert table_of(store, merged.output_key)[1:] == [
        ["1", "Shirt", f"{A},{B},{A}", f"{link(store, 1, 1)},,{link(store, 1, 3)}"],
        ["2", "Nothing", "", ""],
        ["3", "Hat", B, link(store, 3, 1)],
    ]
    assert merged.counts == Counts(4, 3, 1, 30, 12)
    assert merged.errors == {"http_status": 1}


def test_the_report_has_a_line_for_each_image(store: MemoryStore) -> None:
    plan = planned(store, [("1", "=Shirt", f"{A},{B}"), ("2", "Nothing", ""), ("3", "Hat", B)])
    finish_shard(store, plan, 0, frozenset({(1, 2)}))
    merged = merge(store, "r1", 1, plan)
    head, *lines = table_of(store, merged.report_key)
    assert head == list(rows.REPORT_COLUMNS)
    found = [dict(zip(head, line, strict=True)) for line in lines]
    assert [(line["row"], line["slot"], line["error_code"]) for line in found] == [
        ("1", "1", ""), ("1", "2", "http_status"), ("3", "1", "shard_failed"),
    ]  # fmt: skip
    assert (
        found[0]
        | {
            "Product Name": "=Shirt",
            "Input Image Url": A,
            "Output Image Url": link(store, 1, 1),
            "source_format": "jpeg",
            "format": "webp",
            "source_quality": "90",
            "quality_basis": "exact",
            "quality": "45",
            "notes": "flattened pages_dropped",
        }
        == found[0]
    )
    assert [found[1][name] for name in rows.REPORT_FACTS] == [""] * len(rows.REPORT_FACTS)
    assert merged.qualities == Qualities(exact=1, encoded=1, source_sum=90, encoded_sum=45)
    assert (merged.qualities.source_mean, merged.qualities.encoded_mean) == (90.0, 45.0)


def test_requantised_images_are_counted_by_their_note() -> None:
    cells = CellMaker(",")
    tally = Tally()
    for notes in ("", "requantised", "icc_kept requantised", "already_compressed"):
        made = cells.of_record(record_of(notes))
        tally.add_stored(made.bytes_in, made.bytes_out, made.quality)
    assert (tally.qualities.encoded, tally.qualities.requantised, tally.qualities.kept) == (4, 2, 1)


def record_of(notes: str) -> list[str]:
    facts = {"row": "1", "slot": "1", "name": "1.jpg", "bytes_in": "9", "bytes_out": "4", "format": "jpeg", "width": "1",
             "height": "1", "source_format": "jpeg", "source_quality": "90", "quality": "45", "quality_basis": "exact",
             "notes": notes}  # fmt: skip
    return [facts.get(column, "") for column in FRAGMENT_COLUMNS]


class WatchedStore(MemoryStore):
    """Notes what is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[tuple[str, int]] = []

    @contextmanager
    def open(
        self, key: str, *, offset: int = 0, length: int | None = None, etag: str = ""
    ) -> Iterator[Iterator[bytes]]:
        self.opened.append((key, offset))
        with super().open(key, offset=offset, length=length, etag=etag) as chunks:
            yield chunks


def test_all_is_written_in_one_walk_and_the_output_is_seen_last() -> None:
    store = WatchedStore()
    plan = planned(store, [(str(number), "x", f"{A},{B}") for number in range(1, 6)])
    for index in range(len(plan.shards)):
        finish_shard(store, plan, index, frozenset({(3, 1)}))
    store.opened.clear()
    merged = merge(store, "r1", 1, plan)
    fragments = [
        Report.from_json(store.get(keys.report("r1", 1, index))).fragment for index in range(len(plan.shards))
    ]
    assert sorted(store.opened) == sorted(
        [*((key, 0) for key in fragments), *((keys.canonical_input("r1"), one.offset) for one in plan.shards)]
    )
    assert store.writes[-3:] == [merged.errors_key, merged.report_key, merged.output_key]


def test_merging_again_gives_the_same_bytes(store: MemoryStore) -> None:
    plan = planned(store, [(str(number), "x", f"{A},{B}") for number in range(1, 6)])
    finish_shard(store, plan, 1, frozenset({(3, 1)}))
    first = merge(store, "r1", 1, plan)
    made = [store.get(key) for key in (first.output_key, first.errors_key or "", first.report_key)]
    assert merge(store, "r1", 1, plan) == first
    assert [store.get(key) for key in (first.output_key, first.errors_key or "", first.report_key)] == made


def test_a_fragment_that_is_none_is_an_error_and_leaves_no_csv(store: MemoryStore) -> None:
    plan = planned(store, [(str(number), "x", A) for number in range(1, 6)])
    finish_shard(store, plan, 0, frozenset({(1, 1)}))
    store.put(keys.fragment("r1", 1, 1, "run1"), b"row,slot\n3,1\n", CSV)
    commit(store, ShardId("r1", 1, 1), Report("run1", keys.fragment("r1", 1, 1, "run1"), 2, Counts()))
    with pytest.raises(ValueError, match="other columns"):
        merge(store, "r1", 1, plan)
    assert list(store.list(keys.CSV_FILES)) == []


def test_errors_csv_holds_what_failed_and_can_be_uploaded_again(store: MemoryStore) -> None:
    plan = planned(store, [("1", "Shirt", f"{A},{B}"), ("2", "Hat", A)])
    finish_shard(store, plan, 0, frozenset({(1, 2)}))
    merged = merge(store, "r1", 1, plan)
    assert merged.errors_key is not None
    assert table_of(store, merged.errors_key) == [
        [*rows.COLUMNS, "error_code", "error"],
        ["1", "Shirt", B, "http_status", "HTTP 404"],
    ]
    again = ingest(store, "r2", [store.get(merged.errors_key)]).plan
    assert (again.rows, again.images) == (1, 1)


def test_a_shard_without_report_fails_alone(store: MemoryStore) -> None:
    plan = planned(store, [(str(number), "x", A) for number in range(1, 6)])
    finish_shard(store, plan, 0)
    finish_shard(store, plan, 2)
    merged = merge(store, "r1", 1, plan)
    assert [bool(row[3]) for row in table_of(store, merged.output_key)[1:]] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert merged.errors == {"shard_failed": 2}


def test_a_shard_whose_fragment_is_gone_fails_alone_but_for_its_checkpoint(store: MemoryStore) -> None:
    plan = planned(store, [("1", "Shoe", f"{A},{B}"), ("2", "Bag", A), ("3", "Hat", A)])
    for index in range(2):
        finish_shard(store, plan, index)
    checkpoint.write(store, ShardId("r1", 1, 0), 0, [outcome(1, 1, failed=False)])
    store.delete([keys.fragment("r1", 1, 0, "run1")])
    merged = merge(store, "r1", 1, plan)
    assert (merged.counts.succeeded, merged.errors) == (2, {"shard_failed": 2})


def test_no_errors_csv_when_nothing_failed(store: MemoryStore) -> None:
    plan = planned(store, [("1", "x", A)])
    finish_shard(store, plan, 0)
    assert merge(store, "r1", 1, plan).errors_key is None
    assert store.head(keys.errors("r1")) is None


def test_the_first_report_wins(store: MemoryStore) -> None:
    shard = ShardId("r1", 1, 0)
    assert commit(store, shard, Report("first", "f1", 1, Counts()))
    assert not commit(store, shard, Report("zombie", "f2", 1, Counts()))
    assert Report.from_json(store.get(keys.report("r1", 1, 0))).run == "first"


def test_bom_and_line_ends_are_those_of_the_input(store: MemoryStore) -> None:
    text = "\ufeff" + rows.record(rows.COLUMNS, "\r\n") + rows.record(["1", "two\nlines", A], "\r\n")
    plan = ingest(store, "r1", [text.encode()]).plan
    finish_shard(store, plan, 0)
    data = store.get(merge(store, "r1", 1, plan).output_key)
    assert data.startswith(b"\xef\xbb\xbfSerial Number,Product Name,Input Image Urls,Output Image Urls\r\n")
    assert data.endswith(b"\r\n")
    assert b'"two\nlines"' in data


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
LINK_CELLS = st.lists(st.sampled_from([A, B, "http://c/ü?x=1,2", "junk"]), max_size=4).map(",".join)


@given(
    st.lists(st.tuples(CELLS, CELLS, LINK_CELLS), max_size=15),
    st.integers(1, 5),
    st.sets(st.integers(0, 15)),
    st.frozensets(st.tuples(st.integers(1, 16), st.integers(1, 4)), max_size=20),
)
def test_plan_and_merge_keep_rows_and_slots_for_any_content(
    table: list[tuple[str, str, str]], step: int, lost: set[int], failing: frozenset[tuple[int, int]]
) -> None:
    store = MemoryStore()
    table = [*(row for row in table if any(map(str.strip, row))), ("last", "x", A)]
    plan = planned(store, table, step)
    for index in range(len(plan.shards)):
        if index not in lost:
            finish_shard(store, plan, index, failing)
    merged = merge(store, "r1", 1, plan)
    assert _is_right(store, merged, plan, table, lost, failing)


def _is_right(
    store: MemoryStore,
    merged: Merged,
    plan: Plan,
    table: list[tuple[str, str, str]],
    lost: set[int],
    failing: frozenset[tuple[int, int]],
) -> bool:
    output = table_of(store, merged.output_key)[1:]
    lost_rows = {
        row
        for index in lost & set(range(len(plan.shards)))
        for row in range(plan.shards[index].first_row, plan.shards[index].first_row + plan.shards[index].rows)
    }
    expected = []
    for number, cells in enumerate(table, 1):
        slots = range(1, len(links.split(cells[2])) + 1)
        stored = [
            "" if number in lost_rows or (number, slot) in failing else link(store, number, slot)
            for slot in slots
        ]
        expected.append([*cells, ",".join(stored)])
    assert output == expected
    assert merged.counts.total == plan.images == merged.counts.succeeded + merged.counts.failed
    return True


def test_what_a_shard_stored_before_it_was_given_up_is_in_the_output(store: MemoryStore) -> None:
    plan = planned(store, [("1", "Shirt", f"{A},{B}"), ("2", "Hat", A)])
    checkpoint.write(store, ShardId("r1", 1, 0), 0, [outcome(1, 2, failed=False)])
    merged = merge(store, "r1", 1, plan)
    assert [row[-1] for row in table_of(store, merged.output_key)[1:]] == [f",{link(store, 1, 2)}", ""]
    assert (merged.counts.succeeded, merged.errors) == (1, {"shard_failed": 2})
