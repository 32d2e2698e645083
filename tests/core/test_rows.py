"""Cells of ours in a user's CSV: whatever they quote, a spreadsheet shows it and runs nothing."""

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch.batch.shard import Report, ShardId, commit, write_fragment
from imagebatch.csv import rows
from imagebatch.csv.ingest import ingest
from imagebatch.csv.merge import merge
from imagebatch.outcome import EXPLANATIONS, Counts, ErrorCode, ImageOutcome
from imagebatch.storage import keys
from imagebatch_testing.memory_store import MemoryStore

LINK = "http://shop.example/a.jpg"
STARTS = "=+-@\uff1d\uff0b\uff0d\uff20\t\r\n"
HOSTILE = st.text(
    st.one_of(st.sampled_from(f"{STARTS};,'\" |\x00\x0b\x85\u2028\ufeff"), st.characters(codec="utf-8")),
    max_size=40,
)


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("HTTP 404", "HTTP 404"),
        ("=1+1", "'=1+1"),
        (" \t=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("-5", "'-5"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("not an image; often a login", "not an image, often a login"),
        ("evil\r\n=1+1", "evil =1+1"),
        ("a\x00\x1b[2J\u2028b", "a [2J b"),
        ("", ""),
    ],
)
def test_what_becomes_of_a_text(text: str, cell: str) -> None:
    assert rows.own_cell(text) == cell


def is_harmless(cell: str) -> bool:
    return not re.search(r"[;\t\r\n\x00-\x1f\x7f-\x9f\u2028\u2029]", cell) and cell[:1] not in {*STARTS}


@given(HOSTILE)
def test_no_text_becomes_a_formula_or_another_cell(text: str) -> None:
    cell = rows.own_cell(text)
    assert is_harmless(cell)
    assert rows.own_cell(cell) == cell
    assert len(cell) <= len(text) + 1
    for delimiter in ",;\t":
        line = rows.record(["1", cell])
        read = list(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter))
        assert len(read) == 1
        assert all(field[:1] not in {*STARTS} for field in read[0])


@given(HOSTILE, HOSTILE)
def test_errors_csv_keeps_the_users_cells_and_tames_ours(message: str, product: str) -> None:
    store, theirs = MemoryStore(), [f"={product}", f"+{product}", LINK]
    text = rows.record(rows.COLUMNS) + rows.record(theirs)
    plan = ingest(store, "r1", [text.encode()]).plan
    failed = ImageOutcome(row=1, slot=1, error=ErrorCode.HTTP_STATUS, message=message)
    fragment = write_fragment(store, ShardId("r1", 1, 0), "run", [failed])
    commit(store, ShardId("r1", 1, 0), Report("run", fragment, 1, Counts()))
    merge(store, "r1", 1, plan)
    _, (*kept, code, told) = rows.parse([store.get(keys.errors("r1"))])
    assert kept == theirs
    assert (code, is_harmless(told)) == ("http_status", True)


def test_codes_and_explanations_are_harmless_as_they_are() -> None:
    assert [code for code in ErrorCode if not is_harmless(code.value)] == []
    assert [found.cause for found in EXPLANATIONS.values() if rows.own_cell(found.cause)[0] == "'"] == []
