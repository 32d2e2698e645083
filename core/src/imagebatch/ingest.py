"""Any CSV that people export, made into the canonical CSV and its plan, in bounded memory.

The API calls it while an upload arrives, the operator while it reads a source. A *file* is refused for
its format only, with up to 100 problems and their lines; a *cell* never refuses the file: what is wrong
with a link becomes that image's outcome.
"""

import codecs
import csv
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from imagebatch import keys, links, plan, rows
from imagebatch.errors import AlreadyExistsError, InputRefusedError, Problem
from imagebatch.store import CSV, JSON, ObjectStore

MAX_PROBLEMS = 100
MAX_WARNINGS = 20
ENCODINGS = ("utf-8", "utf-16", "windows-1252", "iso-8859-1", "iso-8859-15", "shift_jis", "gb18030")
DELIMITERS = (",", ";", "\t")
BLOCK_CHARS = 1 << 16

_SEP_LINE = re.compile(r'"?sep=(?P<delimiter>[,;\t])"?\s*', re.IGNORECASE)
_COLUMN_NAMES = tuple(name.lower() for name in rows.COLUMNS)
_OWN_NAMES = frozenset(name.lower() for name in rows.OWN_COLUMNS)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may have at most."""

    max_rows: int = 5_000_000


@dataclass(frozen=True, slots=True)
class Ingested:
    """What ingest found. `sha256` is of the file as it came, in hex."""

    plan: plan.Plan
    sha256: str
    warnings: tuple[Problem, ...]


def ingest(
    store: ObjectStore,
    request_id: str,
    chunks: Iterable[bytes],
    *,
    encoding: str = "utf-8",
    rows_per_shard: int = plan.DEFAULT_ROWS_PER_SHARD,
    limits: Limits = Limits(),
    places: keys.InputKeys | None = None,
) -> Ingested:
    """Write the batch's canonical CSV and plan. Blocks; call it in a thread.

    Raises InputRefusedError when the file is not usable; then nothing stays on S3. Raises
    AlreadyExistsError when another plan was first; then this canonical CSV does not stay. After a
    StoreError at the plan it does: its plan may be there. An error that `chunks` raises passes through.
    """
    places = places or keys.input_of_upload(request_id, "")
    reader = Reader(chunks, encoding=encoding, limits=limits)
    stored = store.put_stream(places.canonical, reader.canonical(), CSV)
    made = plan.Plan(
        etag=stored.etag,
        rows=len(reader.index),
        images=reader.images,
        dialect=reader.dialect,
        shards=tuple(reader.index.cut(stored.size, rows_per_shard)),
        input_key=places.canonical,
    )
    _write_plan(store, places, made)
    return Ingested(made, reader.sha256, tuple(reader.warnings))


def _write_plan(store: ObjectStore, places: keys.InputKeys, made: plan.Plan) -> None:
    try:
        store.put(places.plan, made.to_json(), JSON, only_if_absent=True)
    except AlreadyExistsError:
        # Also the answer to a second try of ours, when the answer to the first was lost.
        if plan.Plan.from_json(store.get(places.plan)) == made:
            return
        store.delete([places.canonical])
        raise


class Reader:
    """Reads one file. After `canonical` is exhausted, the other attributes are final."""

    def __init__(
        self, chunks: Iterable[bytes], *, encoding: str = "utf-8", limits: Limits = Limits()
    ) -> None:
        self._encoding = _known_encoding(encoding)
        self._limits = limits
        self._digest = hashlib.sha256()
        self._chunks = self._hashed(chunks)
        self._problems: list[Problem] = []
        self._blank_rows = 0
        self._link_count = 0
        self._delimiter = ","
        self._field_count = len(rows.COLUMNS)
        self._line = 0
        self._record_chars = 0
        self._bad_links: list[Problem] = []
        self._bad_link_count = 0
        self.index = plan.RowIndex()
        self.images = 0
        self.dialect = plan.Dialect()
        self.warnings: list[Problem] = []

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def canonical(self) -> Iterator[bytes]:
        """The canonical CSV in blocks. Raises InputRefusedError at the latest at its end."""
        try:
            yield from self._blocks()
        except UnicodeDecodeError as error:
            raise self._undecodable(error) from None
        except UnicodeError as error:
            raise InputRefusedError.of(
                "not_utf8", f"the file is not {self._encoding} ({error}); save as CSV UTF-8", self._line + 1
            ) from None
        except csv.Error as error:
            raise InputRefusedError([*self._problems, self._broken(error)]) from None
        if not self._problems and not self._link_count:
            self._problems.append(Problem("no_links", "the file has no http:// or https:// link at all"))
        if self._problems:
            raise InputRefusedError(self._problems)
        self.warnings = list(self._warn())

    def _blocks(self) -> Iterator[bytes]:
        lines = self._bounded(self._open())
        header_lines = self._header(lines)
        pending = [header_lines]
        size, offset = len(header_lines), len(header_lines.encode())
        for cells in self._rows(lines):
            text = rows.record(cells)
            self._add(offset, cells[2])
            offset += len(text) if text.isascii() else len(text.encode())
            size += len(text)
            pending.append(text)
            if size >= BLOCK_CHARS:
                yield "".join(pending).encode()
                pending, size = [], 0
        yield "".join(pending).encode()

    def _add(self, offset: int, cell: str) -> None:
        found = links.split(cell)
        for link in found:
            self._link_count += links.looks_like_link(link)
            bad = links.check(link)
            if bad is not None:
                self._note_bad_link(f"this link will fail: {bad.message} ({bad.code})")
            elif links.may_be_several(link):
                self._note_bad_link("this looks like several links; separate them by commas")
        self.images += len(found)
        self.index.add(offset, len(found))

    def _note_bad_link(self, reason: str) -> None:
        self._bad_link_count += 1
        if len(self._bad_links) < MAX_WARNINGS:
            self._bad_links.append(Problem("bad_link", reason, self._line))

    # -- bytes to lines ------------------------------------------------------------------------------

    def _hashed(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._digest.update(chunk)
            yield chunk

    def _open(self) -> Iterator[str]:
        start = b""
        while len(start) < len(codecs.BOM_UTF8) and (chunk := next(self._chunks, None)) is not None:
            start += chunk
        has_bom = start.startswith(codecs.BOM_UTF8)
        if self._encoding == "utf-8" and start[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
            raise InputRefusedError.of("not_utf8", "the file is UTF-16, not UTF-8; save as CSV UTF-8", 1)
        if start.startswith(b"PK\x03\x04"):
            raise InputRefusedError.of("not_csv", "the file is an Excel workbook or a ZIP; save as CSV UTF-8")
        self.dialect = plan.Dialect(bom=has_bom)
        rest = start.removeprefix(codecs.BOM_UTF8) if self._encoding == "utf-8" else start
        return rows.text_lines(_chained(rest, self._chunks), self._encoding)

    def _bounded(self, lines: Iterator[str]) -> Iterator[str]:
        """Count lines, and refuse a record that grows too long, such as by an unclosed quote."""
        for line in lines:
            self._record_chars += len(line)
            if self._record_chars > rows.MAX_RECORD_CHARS:
                raise InputRefusedError.of(
                    "record_too_long",
                    "a record is longer than 1 MiB; probably a quote is opened and never closed",
                    self._line + 1,
                )
            yield line

    # -- the header ----------------------------------------------------------------------------------

    def _header(self, lines: Iterator[str]) -> str:
        """Read the header, learn delimiter, line end and number of fields; return the canonical header."""
        for line in lines:
            self._line += 1
            self._record_chars = 0
            if _SEP_LINE.fullmatch(line) or not line.strip(" \t\r\n,;"):
                continue
            self.dialect = plan.Dialect(self.dialect.bom, _line_end(line))
            self._learn(line)
            return rows.record(rows.COLUMNS)
        raise InputRefusedError.of("no_header", f"the file is empty; it must begin with {_EXPECTED}")

    def _learn(self, line: str) -> None:
        for delimiter in DELIMITERS:
            names = _names(line, delimiter)
            if tuple(names[:3]) == _COLUMN_NAMES:
                break
        else:
            raise InputRefusedError.of(
                "wrong_header", f"the header is {_shown(line)}; it must be {_EXPECTED}", self._line
            )
        while names and not names[-1]:
            names.pop()
        unknown = [name for name in names[3:] if name not in _OWN_NAMES]
        if unknown:
            raise InputRefusedError.of(
                "wrong_header",
                f"unexpected column {_shown(unknown[0])}; the header must be {_EXPECTED}",
                self._line,
            )
        self._delimiter, self._field_count = delimiter, len(names)

    # -- the rows ------------------------------------------------------------------------------------

    def _rows(self, lines: Iterator[str]) -> Iterator[list[str]]:
        header_line = self._line
        reader = csv.reader(lines, delimiter=self._delimiter, skipinitialspace=True, strict=True)
        for fields in reader:
            self._record_chars = 0
            first_line, self._line = self._line + 1, header_line + reader.line_num
            if not any(map(str.strip, fields)):
                self._blank_rows += 1
                continue
            cells = self._cells(fields, first_line)
            if cells is not None and not self._problems:
                self._check_row_count(first_line)
                yield cells

    def _check_row_count(self, line: int) -> None:
        if len(self.index) >= self._limits.max_rows:
            raise InputRefusedError.of(
                "too_many_rows", f"the file has more than {self._limits.max_rows} rows; split it", line
            )

    def _cells(self, fields: list[str], line: int) -> list[str] | None:
        """The three cells of a record; None, and a problem noted, when its fields don't fit."""
        while len(fields) > self._field_count and not fields[-1].strip():
            fields.pop()
        surplus = fields[self._field_count :]
        if not surplus and len(fields) == self._field_count:
            return fields[:3]
        if surplus and self._field_count == 3 and all(map(_fits_links, fields[2:])):
            return [*fields[:2], ",".join(field.strip() for field in fields[2:] if field.strip())]
        few = len(fields) < self._field_count
        hint = "put links that belong together in quotes" if not few else "every row needs all columns"
        self._problem(
            "too_few_fields" if few else "too_many_fields",
            f"{len(fields)} fields where the header has {self._field_count}; {hint}",
            line,
        )
        return None

    def _problem(self, code: str, message: str, line: int) -> None:
        self._problems.append(Problem(code, message, line))
        if len(self._problems) >= MAX_PROBLEMS:
            raise InputRefusedError(self._problems)

    # -- what is wrong, in words ---------------------------------------------------------------------

    def _undecodable(self, error: UnicodeDecodeError) -> InputRefusedError:
        before = error.object[: error.start]
        line = self._line + 1 + before.count(b"\n")
        bad = error.object[error.start : error.start + 1]
        return InputRefusedError.of(
            "not_utf8",
            f"byte 0x{bad.hex()} is not {self._encoding}; save as CSV UTF-8, or declare the encoding",
            line,
        )

    def _broken(self, error: csv.Error) -> Problem:
        reasons = {
            "unexpected end of data": "a quote is opened and never closed",
            "expected after": "text follows a closing quote; double the quotes inside a quoted field",
        }
        text = next((said for part, said in reasons.items() if part in str(error)), str(error))
        return Problem("broken_quoting", f"broken quoting: {text}", self._line + 1)

    def _warn(self) -> Iterator[Problem]:
        if self._blank_rows:
            yield Problem("blank_rows", f"{self._blank_rows} blank rows were dropped")
        yield from self._bad_links
        if self._bad_link_count > len(self._bad_links):
            more = self._bad_link_count - len(self._bad_links)
            yield Problem("bad_link", f"{more} more links are like these")


_EXPECTED = ",".join(rows.COLUMNS)


def _known_encoding(name: str) -> str:
    """Python's name of a declared encoding. Raises InputRefusedError for one that is not offered."""
    for offered in ENCODINGS:
        try:
            if codecs.lookup(name) == codecs.lookup(offered):
                return offered
        except (LookupError, ValueError):
            break
    raise InputRefusedError.of(
        "unknown_encoding", f"{name[:40]!r} is not an encoding offered here: {', '.join(ENCODINGS)}"
    )


def _chained(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _names(line: str, delimiter: str) -> list[str]:
    try:
        fields = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True))
    except (csv.Error, StopIteration):
        return []
    return [" ".join(field.lower().split()) for field in fields]


def _fits_links(field: str) -> bool:
    return not field.strip() or links.looks_like_link(field.strip())


def _line_end(line: str) -> str:
    return next((end for end in ("\r\n", "\n", "\r") if line.endswith(end)), "\n")


def _shown(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 80 else f"{text[:80]}…")
