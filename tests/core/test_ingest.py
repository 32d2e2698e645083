"""Any CSV people export becomes the canonical one."""

import csv
import io
import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagebatch import links
from imagebatch.batch.plan import Dialect, Plan
from imagebatch.csv import rows
from imagebatch.csv.ingest import Limits, Reader, ingest
from imagebatch.errors import InputRefusedError
from imagebatch.storage import keys
from imagebatch_testing.chopping import chopped
from imagebatch_testing.memory_store import MemoryStore

HEADER = "Serial Number,Product Name,Input Image Urls\n"
LINK = "http://shop.example/a.jpg"


def canonical(text: str | bytes, encoding: str | None = None) -> list[list[str]]:
    """The rows of the canonical CSV that `text` gives, without the header."""
    data = text.encode() if isinstance(text, str) else text
    out = b"".join(Reader([data], encoding=encoding).canonical())
    return list(csv.reader(io.StringIO(out.decode(), newline=""), strict=True))[1:]


def refusal(data: str | bytes, encoding: str | None = None) -> InputRefusedError:
    with pytest.raises(InputRefusedError) as caught:
        canonical(data, encoding)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        HEADER + f"1,Shirt,{LINK}\n",
        HEADER.replace("\n", "\r\n") + f"1,Shirt,{LINK}\r\n",
        HEADER.replace("\n", "\r") + f"1,Shirt,{LINK}\r",
        "\ufeff" + HEADER + f"1,Shirt,{LINK}",
        f" serial number ; PRODUCT  NAME;Input Image URLs \r\n1;Shirt;{LINK}\r\n",
        f"sep=;\nSerial Number;Product Name;Input Image Urls\n1;Shirt;{LINK}\n",
        f"Serial Number\tProduct Name\tInput Image Urls\n1\tShirt\t{LINK}\n",
        HEADER + f"\n1, Shirt, {LINK}\n,,\n\n",
        HEADER + f'"1","Shirt", "{LINK}"\n',
        HEADER + f"1,Shirt,{LINK},,,\n",
        HEADER.rstrip() + f",,\n1,Shirt,{LINK}\n",
        HEADER.rstrip() + f",Output Image Urls,error_code,error\n1,Shirt,{LINK},x,y,z\n",
        f"\n\n{HEADER}1,Shirt,{LINK}\n",
    ],
    ids=[
        "plain", "crlf", "cr", "bom", "semicolons", "sep-line", "tabs", "blank rows", "spaces after delimiters",
        "surplus empty fields", "header with empty fields", "our own columns", "blank lines before the header",
    ],
)  # fmt: skip
def test_what_people_export_becomes_the_same_canonical_rows(text: str) -> None:
    assert canonical(text) == [["1", "Shirt", LINK]]


def test_unquoted_links_that_fell_apart_are_joined() -> None:
    text = HEADER + f"1,Shirt,{LINK}, http://b/2.jpg,\n"
    assert canonical(text) == [["1", "Shirt", f"{LINK},http://b/2.jpg"]]


def test_cells_stay_as_they_are() -> None:
    cells = ["=1+1", 'a "quoted", name\nover two lines', f"  {LINK} ,\r\n http://b"]
    assert canonical(HEADER + rows.record(cells)) == [cells]


@pytest.mark.parametrize(
    ("data", "code", "line"),
    [
        (b"", "no_header", None),
        (b"a,b,c\n1,2,3\n", "wrong_header", 1),
        (HEADER.replace("Serial", "Cereal").encode(), "wrong_header", 1),
        (HEADER.encode(), "no_links", None),
        ((HEADER + "1,Shirt,foo\n").encode(), "no_links", None),
        ((HEADER + f"1,Shirt,{LINK},blue,red\n").encode(), "too_many_fields", 2),
        ((HEADER + f'1,"Shirt"x,{LINK}\n').encode(), "broken_quoting", 2),
        ((HEADER + f'1,Shirt,{LINK}\n2,"Hat,{LINK}\n').encode(), "broken_quoting", 3),
        (HEADER.encode() + b"1,Caf\xff\x81," + LINK.encode() + b"\n", "not_utf8", 2),
        (("\ufeff" + HEADER).encode("utf-32-le"), "not_utf8", 1),
        (b"PK\x03\x04whatever", "not_csv", None),
    ],
)  # fmt: skip
def test_a_file_is_refused_for_its_format_with_code_and_line(
    data: bytes, code: str, line: int | None
) -> None:
    problem = refusal(data).problems[0]
    assert (problem.code, problem.line) == (code, line)


def test_an_unclosed_quote_does_not_eat_memory() -> None:
    def endless() -> Iterator[bytes]:
        yield HEADER.encode() + b'1,"Shirt,'
        for _ in range(64):
            yield b"x" * 65_536 + b"\n"

    with pytest.raises(InputRefusedError) as caught:
        list(Reader(endless()).canonical())
    assert caught.value.problems[0].code == "record_too_long"


def test_up_to_a_hundred_problems_are_told() -> None:
    error = refusal(HEADER + f"1,Shirt,{LINK},blue\n" * 500)
    assert len(error.problems) == 100
    assert error.problems[99].line == 101


@pytest.mark.parametrize("encoding", ["windows-1252", "ISO-8859-15", "utf-16"])
def test_a_declared_encoding_is_read(encoding: str) -> None:
    data = (HEADER + f"1,Café,{LINK}\n").encode(encoding)
    assert canonical(data, encoding=encoding) == [["1", "Café", LINK]]


def test_an_unknown_encoding_is_refused() -> None:
    assert refusal(HEADER, encoding="rot13").problems[0].code == "unknown_encoding"


def test_more_rows_than_the_limit_are_refused() -> None:
    reader = Reader([(HEADER + f"1,a,{LINK}\n" * 3).encode()], limits=Limits(max_rows=2))
    with pytest.raises(InputRefusedError, match="more than 2 rows"):
        list(reader.canonical())


def test_warnings_name_dropped_rows_and_links_that_will_fail() -> None:
    reader = Reader([(HEADER + f"1,a,{LINK}\n,,\n2,b,http://u:p@c/\n").encode()])
    list(reader.canonical())
    assert [(warning.code, warning.line) for warning in reader.warnings] == [
        ("blank_rows", None),
        ("bad_link", 4),
    ]
    assert "u:p" not in reader.warnings[1].message


def test_a_refused_file_leaves_nothing_behind(store: MemoryStore) -> None:
    with pytest.raises(InputRefusedError):
        ingest(store, "r1", [(HEADER + f"1,a,{LINK}\n" * 5000 + "2,b,c,d\n").encode()])
    assert list(store.list("")) == []


def test_an_error_of_the_source_passes_through_and_leaves_nothing_behind(store: MemoryStore) -> None:
    def broken() -> Iterator[bytes]:
        yield HEADER.encode()
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        ingest(store, "r1", broken())
    assert list(store.list("")) == []


def test_the_plan_keeps_bom_and_line_end_of_the_input(store: MemoryStore) -> None:
    text = "\ufeff" + HEADER.replace("\n", "\r\n") + f"1,a,{LINK}\r\n"
    dialect = ingest(store, "r1", [text.encode()]).plan.dialect
    assert (dialect.bom, dialect.line_end) == (True, "\r\n")


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=20)


@given(
    ROWS,
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.lists(st.integers(1, 50), max_size=20),
    st.integers(1, 7),
)
def test_any_cells_come_through_with_any_delimiter_in_any_chunks(
    cells: list[tuple[str, str, str]], delimiter: str, line_end: str, bom: bool, sizes: list[int], step: int
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([rows.COLUMNS, *cells, ("last", "row", LINK)])
    data = (b"\xef\xbb\xbf" if bom else b"") + out.getvalue().encode()
    store = MemoryStore()
    plan = ingest(store, "r1", chopped(data, sizes), rows_per_shard=step).plan
    expected = [list(row) for row in [*cells, ("last", "row", LINK)] if any(map(str.strip, row))]
    stored = store.get(keys.canonical_input("r1"))
    assert list(rows.parse([stored]))[1:] == expected
    by_shard = [
        list(rows.parse([stored[shard.offset : shard.offset + shard.length]])) for shard in plan.shards
    ]
    assert [row for shard in by_shard for row in shard] == expected
    assert [shard.images for shard in plan.shards] == [
        sum(len(links.split(row[2])) for row in shard) for shard in by_shard
    ]
    assert [shard.first_row for shard in plan.shards] == list(range(1, len(expected) + 1, step))


@given(st.binary(max_size=300), st.sampled_from([b"", HEADER.encode()]))
def test_arbitrary_bytes_are_read_or_refused_and_nothing_else(data: bytes, start: bytes) -> None:
    try:
        list(Reader([start + data]).canonical())
    except InputRefusedError as error:
        assert error.problems


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("declared", [None, "utf-16"])
def test_utf_16_is_known_without_its_mark(codec: str, declared: str | None) -> None:
    assert canonical((HEADER + f"1,Café,{LINK}\n").encode(codec), declared) == [["1", "Café", LINK]]


def test_what_is_declared_to_be_utf_16_and_is_not_is_refused() -> None:
    assert refusal(HEADER + f"1,a,{LINK}\n", encoding="utf-16").problems[0].code == "not_utf8"


@pytest.mark.parametrize("declared", ["utf-8", "windows-1251"])
def test_a_declared_encoding_wins_over_the_files_evidence(declared: str) -> None:
    data = (HEADER + f"1,Café,{LINK}\n").encode("windows-1252")
    if declared == "utf-8":
        assert refusal(data, declared).problems[0].code == "not_utf8"
    else:
        assert canonical(data, declared) == [["1", "Cafй", LINK]]


def test_short_rows_are_padded_and_told() -> None:
    reader = Reader([(HEADER + f"1,a,{LINK}\n2,Hat (no photo yet)\n3\n4,b,{LINK}\n").encode()])
    table = list(rows.parse(reader.canonical()))[1:]
    assert table == [["1", "a", LINK], ["2", "Hat (no photo yet)", ""], ["3", "", ""], ["4", "b", LINK]]
    assert [(one.code, one.line) for one in reader.warnings] == [("short_rows", 3)]


def test_unquoted_entries_that_fell_apart_are_joined_with_the_bad_ones_among_them() -> None:
    (row,) = canonical(HEADER + f"1,Shirt,{LINK}, N/A, htps://b/2.jpg\n")
    assert links.split(row[2]) == [LINK, "N/A", "htps://b/2.jpg"]


def test_a_cell_that_could_be_read_in_two_ways_is_warned_of() -> None:
    reader = Reader([(HEADER + f'1,a,"{LINK}, front"\n2,b,"http://b/Big, red.jpg"\n').encode()])
    list(reader.canonical())
    assert [(one.code, one.line) for one in reader.warnings if one.code != "bad_link"] == [
        ("ambiguous_links", 2),
        ("ambiguous_links", 3),
    ]


def test_the_plan_keeps_the_delimiter_and_a_plan_without_one_has_commas(store: MemoryStore) -> None:
    text = HEADER.replace(",", ";") + f"1;a;{LINK}\n"
    made = ingest(store, "r1", [text.encode()]).plan
    assert made.dialect == Dialect(bom=False, line_end="\n", delimiter=";")
    old = json.loads(made.to_json())
    del old["dialect"]["delimiter"]
    assert Plan.from_json(json.dumps(old).encode()).dialect.delimiter == ","
