"""Whatever bytes come: ingest refuses them in words, or writes a canonical CSV that can be read again."""

import codecs
import csv
import io

from hypothesis import example, given
from hypothesis import strategies as st

from imagebatch import links
from imagebatch.csv import rows
from imagebatch.csv.ingest import ENCODINGS, MAX_PROBLEMS, Ingested, ingest
from imagebatch.errors import InputRefusedError
from imagebatch.storage import keys
from imagebatch_testing.chopping import chopped
from imagebatch_testing.memory_store import MemoryStore

HEADER = "Serial Number,Product Name,Input Image Urls"
LINK = "http://shop.example/a.jpg"

SCRAPS = st.sampled_from(
    [
        HEADER, HEADER.replace(",", ";"), HEADER.upper(), f"{HEADER},Output Image Urls,error_code,error", "sep=;",
        LINK, f'"{LINK}, {LINK}"', "1,Shoe,", "=1+1", '"', '""', ",", ";", "\t", "\n", "\r\n", "\r", " ", "\x00",
        "\x0b", "\x85", "\u2028", "\ufeff", "ü", "日本", "\U0001f45f", "http://u:p@x/", "HTTPS://", "http://[",
    ]
)  # fmt: skip
TEXTS = st.lists(SCRAPS | st.text(max_size=6), max_size=30).map("".join)
CELL = st.one_of(
    st.just(LINK),
    st.text(st.characters(exclude_characters='"\r\n,;\t'), max_size=6),
    st.text(st.characters(exclude_characters='"'), max_size=8).map('"{}"'.format),
    SCRAPS,
)
RECORDS = st.lists(st.lists(CELL, min_size=3, max_size=3).map(",".join) | TEXTS, max_size=6)
FILES = RECORDS.map(lambda records: "\n".join([HEADER, f"1,Shoe,{LINK}", *records]))
INPUTS = st.one_of(
    st.tuples(st.binary(max_size=300), st.sampled_from(ENCODINGS)),
    st.builds(
        lambda text, written, read: (text.encode(written, "replace"), read),
        TEXTS | FILES,
        st.sampled_from([*ENCODINGS, "utf-16-le"]),
        st.sampled_from(ENCODINGS),
    ),
    st.builds(lambda text, both: (text.encode(both, "replace"), both), FILES, st.sampled_from(ENCODINGS)),
)
"""Bytes, and the encoding that is declared for them."""


def taken(data: bytes, encoding: str, sizes: list[int]) -> tuple[MemoryStore, Ingested | None]:
    """What ingest makes of it, in chunks of these sizes; nothing else than a refusal may be raised."""
    store = MemoryStore()
    try:
        return store, ingest(store, "r1", chopped(data, sizes), encoding=encoding, rows_per_shard=3)
    except InputRefusedError as error:
        assert 0 < len(error.problems) <= MAX_PROBLEMS
        assert all(problem.code and problem.message.isprintable() for problem in error.problems)
        assert all(problem.line is None or problem.line > 0 for problem in error.problems)
        return store, None


@given(INPUTS, st.lists(st.integers(0, 40), max_size=10))
@example((f"{HEADER}\r1,a,{LINK}\r\n2,b\rc,{LINK}\n".encode(), "utf-8"), [])
@example((codecs.BOM_UTF8 * 2 + f"{HEADER}\n1,a,{LINK}".encode(), "utf-8"), [1, 1])
@example((f"{HEADER}\n1,a\x00b,{LINK}\n".encode(), "utf-8"), [])
def test_any_bytes_are_refused_in_words_or_become_a_csv_that_can_be_read(
    given_: tuple[bytes, str], sizes: list[int]
) -> None:
    store, done = taken(*given_, sizes)
    if done is None:
        assert list(store.list("")) == [], "a refusal leaves nothing"
        return
    stored = store.get(keys.canonical_input("r1"))
    table = list(rows.parse([stored]))
    assert table[0] == list(rows.COLUMNS)
    assert all(len(cells) == 3 and any(map(str.strip, cells)) for cells in table[1:])
    assert "".join(map(rows.record, table)).encode() == stored, "written in one way only"
    assert list(csv.reader(io.StringIO(stored.decode(), newline=""), strict=True)) == table
    assert_planned(done, stored, table[1:])


def assert_planned(done: Ingested, stored: bytes, table: list[list[str]]) -> None:
    """The shards' byte ranges are the rows, all of them, in order."""
    parts = [stored[shard.offset : shard.offset + shard.length] for shard in done.plan.shards]
    assert [cells for part in parts for cells in rows.parse([part])] == table
    assert done.plan.rows == len(table)
    assert done.plan.images == sum(len(links.split(cells[2])) for cells in table)
    assert stored.endswith(b"".join(parts))


@given(INPUTS)
def test_the_canonical_csv_is_its_own_canonical_csv(given_: tuple[bytes, str]) -> None:
    store, done = taken(*given_, [])
    if done is None:
        return
    stored = store.get(keys.canonical_input("r1"))
    again, _ = taken(stored, "utf-8", [])
    first, second = (list(rows.parse([data]))[1:] for data in (stored, again.get(keys.canonical_input("r1"))))
    assert [[cell.lstrip(" ") for cell in cells] for cells in first] == second


CELLS = st.text(st.characters(codec="utf-8"), max_size=12).map(lambda text: text.lstrip(" "))
TABLES = st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=12)


@given(TABLES, st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_rows_that_a_program_writes_are_all_kept(
    table: list[tuple[str, str, str]], delimiter: str, line_end: str, bom: bool
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([rows.COLUMNS, *table, ("last", "row", LINK)])
    data = (codecs.BOM_UTF8 if bom else b"") + text.getvalue().encode()
    store, done = taken(data, "utf-8", [])
    assert done is not None
    kept = list(rows.parse([store.get(keys.canonical_input("r1"))]))[1:]
    expected = [*(list(cells) for cells in table if any(map(str.strip, cells))), ["last", "row", LINK]]
    assert kept == expected
    assert (done.plan.dialect.bom, done.plan.dialect.line_end) == (bom, line_end)
