"""Pages of report.csv, read by byte ranges: for the API and for `kubectl imagebatch images`.

A cursor holds the offset of the next record and how the file is written, so that a page costs the same
wherever it lies. It is sealed with the file's ETag: one of another file, or a forged one, is refused.
"""

import base64
import csv
import hashlib
import hmac
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from imagebatch.csv import rows
from imagebatch.errors import InputRefusedError, NotFoundError, Problem
from imagebatch.outcome import ErrorCode
from imagebatch.storage.store import Stored

OUTCOMES = ("succeeded", "failed", "skipped")
DEFAULT_LIMIT, MAX_LIMIT = 100, 1000
"""Of the images of a page."""

READ_BYTES = 128 * 1024
MAX_BYTES = 8 * 1024 * 1024
"""A call reads no more, except for one longer record: a page may be short, or empty, and have a next one."""

_LINE_ENDS = (b"\n", b"\r\n", b"\r")
_SEALED = struct.Struct(">QBB")
_SEAL_BYTES = 17
_CURSOR = re.compile("[A-Za-z0-9_-]{36}")

Json = dict[str, Any]


class ByRange(Protocol):
    """Where the report is: a store, or what its signed links lead to."""

    def head(self, key: str) -> Stored | None: ...

    def get(self, key: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> bytes: ...


@dataclass(frozen=True, slots=True)
class Position:
    """Where the next record begins, and which delimiter and line end the file has."""

    offset: int
    delimiter: int
    line_end: int

    @property
    def terminator(self) -> bytes:
        return _LINE_ENDS[self.line_end][-1:]


@dataclass(frozen=True, slots=True)
class ReportPage:
    """Images, as the API shows them, and the cursor of the next page."""

    images: list[Json]
    next_after: str | None


def read(store: ByRange, key: str, after: str | None, limit: int, outcome: str | None) -> ReportPage:
    """A page of the report. Blocks; call it in a thread.

    Raises InputRefusedError for a cursor that is none of this report, NotFoundError when it is gone or
    replaced meanwhile, StoreError.
    """
    stored = store.head(key)
    if stored is None:
        raise NotFoundError(f"{key} is not there")
    if after is None:
        return _Reader(store, stored, _first(store, stored)).page(limit, outcome)
    place = _opened(after, stored)
    try:
        return _Reader(store, stored, place).page(limit, outcome)
    except (ValueError, IndexError, csv.Error):
        _refuse()


class _Reader:
    """Reads from a place on, record by record."""

    def __init__(self, store: ByRange, stored: Stored, place: Position) -> None:
        self._store = store
        self._stored = stored
        self._place = place
        self._delimiter = rows.DELIMITERS[place.delimiter]
        self._done = place.offset
        self._read = place.offset

    def page(self, limit: int, outcome: str | None) -> ReportPage:
        images: list[Json] = []
        for record in self._records():
            (cells,) = csv.reader([record.decode()], delimiter=self._delimiter, strict=True)
            self._done += len(record)
            if outcome is None or outcome_of(cells) == outcome:
                images.append(image_of(cells))
            if len(images) == limit or self._done - self._place.offset >= MAX_BYTES:
                break
        if self._done >= self._stored.size:
            return ReportPage(images, None)
        return ReportPage(images, _sealed(Position(self._done, *_dialect(self._place)), self._stored))

    def _records(self) -> Iterator[bytes]:
        """Records with their line ends; a line end within quotes ends none."""
        rest, is_quoted = bytearray(), False
        for line in self._lines():
            rest += line
            is_quoted ^= line.count(b'"') % 2 == 1
            if not is_quoted and line.endswith(self._place.terminator):
                yield bytes(rest)
                rest.clear()
        if rest:
            raise ValueError("the report ends within a record")

    def _lines(self) -> Iterator[bytes]:
        """Pieces that end at a line end, or where a read ends."""
        while self._read < self._stored.size:
            length = min(READ_BYTES, self._stored.size - self._read)
            data = self._store.get(self._stored.key, offset=self._read, length=length, etag=self._stored.etag)
            self._read += len(data)
            yield from re.findall(b"[^%b]*%b|[^%b]+" % ((self._place.terminator,) * 3), data)


def _dialect(place: Position) -> tuple[int, int]:
    return place.delimiter, place.line_end


def _first(store: ByRange, stored: Stored) -> Position:
    """Where the first record after the header begins."""
    head = store.get(stored.key, length=min(READ_BYTES, stored.size), etag=stored.etag)
    found = re.match(rb"(?P<header>[^\r\n]+)(?P<end>\r\n|\n|\r)", head)
    if found is None:
        raise ValueError(f"{stored.key} has no header")
    delimiter = rows.DELIMITERS.index(rows.delimiter_of(found["header"].decode()))
    return Position(found.end(), delimiter, _LINE_ENDS.index(found["end"]))


# -- cursors ---------------------------------------------------------------------------------------------


def _sealed(place: Position, stored: Stored) -> str:
    packed = _SEALED.pack(place.offset, place.delimiter, place.line_end)
    return base64.urlsafe_b64encode(packed + _seal(packed, stored)).decode()


def _opened(cursor: str, stored: Stored) -> Position:
    """Raises InputRefusedError for one that was not sealed for this file."""
    if _CURSOR.fullmatch(cursor) is None:
        _refuse()
    data = base64.urlsafe_b64decode(cursor)
    packed, seal = data[: _SEALED.size], data[_SEALED.size :]
    if not hmac.compare_digest(seal, _seal(packed, stored)):
        _refuse()
    place = Position(*_SEALED.unpack(packed))
    is_possible = place.delimiter < len(rows.DELIMITERS) and place.line_end < len(_LINE_ENDS)
    if not is_possible or place.offset >= stored.size:
        _refuse()
    return place


def _seal(packed: bytes, stored: Stored) -> bytes:
    key = hashlib.sha256(f"{stored.key}:{stored.etag}".encode()).digest()
    return hmac.digest(key, packed, "sha256")[:_SEAL_BYTES]


def _refuse() -> NoReturn:
    message = "after: is no cursor of this report; take next_after of a page"
    raise InputRefusedError([Problem("invalid_parameter", message)])


# -- records ---------------------------------------------------------------------------------------------


def outcome_of(cells: list[str]) -> str:
    """One of `OUTCOMES`."""
    code = cells[_AT["error_code"]]
    if not code:
        return "succeeded"
    return "skipped" if code == ErrorCode.NOT_TRIED else "failed"


def image_of(cells: list[str]) -> Json:
    """A record of the report as the API shows it. Raises ValueError for one that is none."""
    return {name: read_as(cell) for (name, read_as), cell in zip(_FIELDS.items(), cells, strict=True)}


def _number(cell: str) -> int | None:
    return int(cell) if cell else None


def _text(cell: str) -> str | None:
    return cell or None


_FIELDS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("row", "slot"), int),
    **dict.fromkeys(("serial_number", "product_name", "input_url"), str),
    **dict.fromkeys(("output_url", "error_code", "error", "source_format", "format"), _text),
    **dict.fromkeys(("width", "height", "bytes_in", "bytes_out", "source_quality"), _number),
    "quality_basis": _text,
    "quality": _number,
    "notes": str.split,
}
"""By the columns of the report, in their order."""

_AT = {name: index for index, name in enumerate(rows.REPORT_COLUMNS)}
assert len(_FIELDS) == len(rows.REPORT_COLUMNS)
