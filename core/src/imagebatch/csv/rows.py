"""Rows of the canonical CSV: RFC 4180, UTF-8, LF, our three columns or those of its `TableLayout`.

`imagebatch.csv.ingest` writes it, the jobrunner reads byte ranges of it, merge reads all of it.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial

COLUMNS = ("Serial Number", "Product Name", "Input Image Urls")
OUTPUT_COLUMN = "Output Image Urls"
ERROR_COLUMNS = ("error_code", "error")
OWN_COLUMNS = (OUTPUT_COLUMN, *ERROR_COLUMNS)
REPORT_FACTS = (
    "source_format", "format", "width", "height", "bytes_in", "bytes_out",
    "source_quality", "quality_basis", "quality", "notes",
)  # fmt: skip
REPORT_COLUMNS = (
    "row", "slot", *COLUMNS[:2], "Input Image Url", "Output Image Url", *ERROR_COLUMNS, *REPORT_FACTS,
)  # fmt: skip
"""One record an image; `row` and `slot` count from 1."""

MAX_RECORD_CHARS = 1024 * 1024
"""No record is longer, so that an unclosed quote does not eat memory."""

csv.field_size_limit(MAX_RECORD_CHARS)

FORMULA_STARTS = frozenset("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n")
"""With these a cell is a formula to a spreadsheet, in full width too (OWASP, CSV injection)."""

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
DELIMITERS = (",", ";", "\t")


def record(cells: Iterable[str], line_end: str = "\n", delimiter: str = ",") -> str:
    """One CSV record with its line end; cells are quoted where RFC 4180 asks for it."""
    return delimiter.join(map(quoting(delimiter), cells)) + line_end


@cache
def quoting(delimiter: str) -> Callable[[str], str]:
    """A function that gives a cell as it is written between two delimiters, in quotes where it needs them."""

    def quoted(cell: str) -> str:
        if delimiter in cell or '"' in cell or "\n" in cell or "\r" in cell:
            return '"' + cell.replace('"', '""') + '"'
        return cell

    return quoted


def delimiter_of(header: str) -> str:
    """The delimiter of a CSV that we wrote, by its header: it begins or ends with a column of ours."""
    first, last = ("row", *COLUMNS[:1]), (OUTPUT_COLUMN, *ERROR_COLUMNS)
    header = header.lstrip("\ufeff").rstrip("\r\n")
    for found in DELIMITERS:
        if header.startswith(tuple(name + found for name in first)):
            return found
        if header.endswith(tuple(found + name for name in last)):
            return found
    return ","


def own_cell(text: str) -> str:
    """A text of ours for a cell, whatever strangers' words it quotes: one line, one cell, never a formula.

    Control characters and line breaks become spaces, and semicolons commas: a spreadsheet that takes
    semicolons for delimiters, as they do where numbers have a comma, does not see our quotes. What would
    begin as a formula gets an apostrophe before it. Cells of the user's own never go through here.
    """
    line = " ".join(_UNPRINTABLE.sub(" ", text).replace(";", ",").split())
    return f"'{line}" if line[:1] in FORMULA_STARTS else line


def parse(chunks: Iterable[bytes]) -> Iterator[list[str]]:
    """The records of canonical CSV that comes in chunks (any boundaries), in bounded memory."""
    return csv.reader(text_lines(chunks), strict=True)


def text_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    r"""Lines of UTF-8 with their ends (`\n`, `\r\n`, `\r`), each cut at `MAX_RECORD_CHARS` + 1 characters."""
    source = chunk_reader(chunks, 1 << 16)
    text = io.TextIOWrapper(source, encoding="utf-8", errors="strict", newline="")
    return iter(partial(text.readline, MAX_RECORD_CHARS + 1), "")


def chunk_reader(chunks: Iterable[bytes], buffer_bytes: int) -> io.BufferedReader:
    """A readable file over an iterable of chunks; an error of the iterable passes through `read`."""
    return io.BufferedReader(_ChunkReader(chunks), buffer_bytes)


class _ChunkReader(io.RawIOBase):
    """A readable over an iterable of chunks."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)
