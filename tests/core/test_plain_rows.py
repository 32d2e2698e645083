"""What is taken without being read is what reading would have made of it."""

import csv
import io
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imagebatch import links
from imagebatch.csv import rows
from imagebatch.csv.ingest import ingest
from imagebatch.csv.plain_rows import Text
from imagebatch.links import share
from imagebatch.storage import keys
from imagebatch_testing.chopping import chopped
from imagebatch_testing.memory_store import MemoryStore

HOSTS = st.sampled_from(
    ["a", "cdn.shop.example", "1.2.3.4", "drive.google.com", "notgoogle.com", "goo.gl", "xn--bcher-kva.test", "a--b.test",
     "-a.test", "a.", "A.test", "u:p@a", "a:80", "a:99999", "a:", "a:x", "GOO.gl", "a.goo.gl:80", "XN--bcher-kva.test", "[::1]", "\u00fc.test", "a_b.test", "", "a" * 64, "1drv.ms"]
)  # fmt: skip
RESTS = st.sampled_from(
    ["", "/", "/x.jpg", "?a=1&b=2", "#x", "/a@b", "/w_8,h_6/x.jpg", "/a b.jpg", "/%20;v=1", "/xn--", "/&amp;", "/`", "/'x'",
     "/a|b", '/"x"', "/<x>", "\\x", "/\u00fc", "/[x]", "/https://b/x", "/x?u=drive.google.com/file/d/12345/view",
     "/\x7f", "/\t", "/" + "x" * 3999, "/" + "x" * 4001, "/" + "x" * 8192]
)  # fmt: skip
SCHEMES = st.sampled_from(["http://", "https://", "HTTP://", "ftp://", "//", "", "http:/", "https:///"])
LINKS = st.builds("{}{}{}".format, SCHEMES, HOSTS, RESTS)
GOOD = st.sampled_from(["https://a.test/x.jpg", "http://b.test/y?w=1&h=2", "http://c/"])
SEPARATORS = st.sampled_from([",", ", ", ";", "; ", "|", "| ", " ", "  ", ",,", "\n", " ,", ""])
LINK_CELLS = st.lists(st.tuples(GOOD | LINKS, SEPARATORS), max_size=4).map(
    lambda parts: "".join(part for pair in parts for part in pair)
)
TIDY_CELLS = st.lists(GOOD, min_size=1, max_size=4).flatmap(
    lambda found: st.sampled_from([",", ", ", ";", "|"]).map(lambda separator: separator.join(found))
)


@given(st.one_of(LINK_CELLS, TIDY_CELLS))
@example("https://a/?x=https://b")
@example("https://a/;https://b/, https://c/")
@example("https://A.test/x")
@example("https://sharepoint.com")
def test_a_plain_cell_has_so_many_links_and_none_is_bad_or_in_doubt(cell: str) -> None:
    count = links.count_plain(cell)
    if count:
        found = links.entries(cell)
        assert (len(found.entries), found.doubt) == (count, "")
        assert not any(isinstance(links.read(entry), links.BadLink) for entry in found.entries)
        assert list(found.entries) == links.split(cell) == re.split("[,;|] ?", cell)


@given(TIDY_CELLS)
def test_cells_as_most_files_have_them_are_plain(cell: str) -> None:
    assert links.count_plain(cell) == len(links.split(cell))


def test_every_kind_of_share_link_is_read() -> None:
    for hint in share.HINTS:
        for host in (f"x.{hint}", hint.upper(), f"x.{hint}:80"):
            assert not links.count_plain(f"https://{host}/file")


CELLS = st.one_of(
    st.sampled_from(["", "1", "Shirt", "Shirt, blue", "  x", "x ", 'a "b"', "Gr\u00f6\u00dfe", "two\nlines", "a\tb", "a;b", "\u65e5"]),
    st.text(st.sampled_from("a ,;\"'\t\r\n\x00\x0b\x7f\x85\u2028\u00e9\U0001f45f"), max_size=5),
)  # fmt: skip
WRITTEN = st.sampled_from(["{}", '"{}"', ' "{}"', '"{}" ', " {}", "{},"])
FIELDS = st.builds(lambda how, cell: how.format(cell), WRITTEN, CELLS)
ENDS = st.sampled_from(["\n", "\r\n", "\r", ""])
TIDY = st.builds(lambda *cells: rows.record(cells, ""), CELLS, CELLS, TIDY_CELLS)
UNTIDY = st.builds("{},{},{}".format, FIELDS, FIELDS, st.one_of(FIELDS, LINK_CELLS, TIDY_CELLS))
LINES = st.lists(st.tuples(st.one_of(TIDY, UNTIDY), ENDS), max_size=8)
NEVER_ASKED = 10_000


def joined(lines: list[tuple[str, str]]) -> str:
    return "".join(part for pair in lines for part in pair)


def read_by_the_rules(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True))


@given(LINES, st.sampled_from(["\n", "\r\n"]), st.integers(0, 5))
def test_plain_rows_are_what_the_rules_make_of_them(
    lines: list[tuple[str, str]], line_end: str, at_most: int
) -> None:
    text = joined(lines)
    source = Text([text.encode()])
    source._read()
    run = source.plain_run(line_end, at_most)
    rest = "".join(source)
    assert len(run.images) == len(run.sizes) <= at_most
    table = read_by_the_rules(text.removesuffix(rest))
    assert "".join(map(rows.record, table)) == run.text
    assert [len(rows.record(cells).encode()) for cells in table] == run.sizes
    assert [links.count_plain(cells[2]) for cells in table] == run.images
    assert all(len(cells) == len(rows.COLUMNS) for cells in table)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_rows_as_most_files_have_them_are_plain(line_end: str) -> None:
    table = [["1", "Shirt, blue", "https://a.test/x.jpg"], ["2", "", "https://a.test/x.jpg, https://b.test/y.jpg"],
             ["3", "Gr\u00f6\u00dfe 43", "https://a.test/x.jpg|https://b.test/y.jpg"]]  # fmt: skip
    source = Text(["".join(rows.record(cells, line_end) for cells in table).encode()])
    source._read()
    run = source.plain_run(line_end, NEVER_ASKED)
    assert run.text == "".join(map(rows.record, table))
    assert run.images == [1, 2, 2]
    assert list(source) == []


@given(LINES, st.lists(st.integers(0, 40), max_size=10), st.booleans())
def test_lines_are_those_of_any_text_file(
    lines: list[tuple[str, str]], sizes: list[int], with_runs: bool
) -> None:
    text = joined(lines)
    source = Text(chopped(text.encode(), sizes))
    found = []
    for line in source:
        found.append(line)
        if with_runs:
            found += source.plain_run("\n", NEVER_ASKED).text.splitlines(keepends=True)
    expected = io.StringIO(text, newline="").readlines()
    assert found == expected if not with_runs else "".join(found) == text


def test_a_line_without_end_is_cut() -> None:
    first, *_ = Text(b"x" * 100_000 for _ in range(20))
    assert len(first) == rows.MAX_RECORD_CHARS + 1


@given(st.lists(st.one_of(TIDY_CELLS, LINK_CELLS), max_size=30), st.sampled_from(["\n", "\r\n"]))
def test_plain_rows_among_others_keep_their_places(cells: list[str], line_end: str) -> None:
    table = [[str(number), "x", cell] for number, cell in enumerate(cells, 1)]
    table.append(["last", "\u00fc", "https://a.test/x.jpg"])
    text = "".join(rows.record(row, line_end) for row in [list(rows.COLUMNS), *table])
    store = MemoryStore()
    made = ingest(store, "r1", [text.encode()], rows_per_shard=3).plan
    stored = store.get(keys.canonical_input("r1"))
    assert stored.decode() == "".join(map(rows.record, [rows.COLUMNS, *table]))
    parts = [list(rows.parse([stored[one.offset : one.offset + one.length]])) for one in made.shards]
    assert [row for part in parts for row in part] == table
    assert [one.images for one in made.shards] == [
        sum(len(links.split(row[2])) for row in part) for part in parts
    ]
