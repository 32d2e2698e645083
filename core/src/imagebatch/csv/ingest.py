"""Any CSV that people export, made into the canonical CSV and its plan, in bounded memory.

The API calls it while an upload arrives, the operator while it reads a source. A *file* is refused for
its format only, with up to 100 problems and their lines; a *cell* never refuses the file: what is wrong
with a link becomes that image's outcome.
"""

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from imagebatch.batch import plan
from imagebatch.csv import encodings, plain_rows, rows
from imagebatch.csv.columns import UNDECLARED, ColumnOptions
from imagebatch.csv.decoding import Utf8Source, not_readable
from imagebatch.csv.found_links import FoundLinks
from imagebatch.csv.header import Header, header_of
from imagebatch.csv.layout import TableLayout
from imagebatch.csv.record_fit import RecordFit
from imagebatch.errors import AlreadyExistsError, InputRefusedError, Problem
from imagebatch.storage import keys
from imagebatch.storage.store import CSV, JSON, ObjectStore

MAX_PROBLEMS = 100
ENCODINGS = encodings.ENCODINGS
BLOCK_BYTES = 1 << 16


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
    encoding: str | None = None,
    columns: ColumnOptions = UNDECLARED,
    rows_per_shard: int = plan.DEFAULT_ROWS_PER_SHARD,
    limits: Limits = Limits(),
    places: keys.InputKeys | None = None,
) -> Ingested:
    """Write the batch's canonical CSV and plan. Blocks; call it in a thread.

    `encoding` and `columns` are what was declared; without them the file's own evidence counts.

    Raises InputRefusedError when the file is not usable; then nothing stays on S3. Raises AlreadyExistsError
    when another plan was first; then this canonical CSV does not stay. After a StoreError while the plan is
    written it stays, for the plan may be there. An error that `chunks` raises passes through.
    """
    places = places or keys.input_of_upload(request_id, "")
    reader = Reader(chunks, encoding=encoding, columns=columns, limits=limits)
    stored = store.put_stream(places.canonical, reader.canonical(), CSV)
    made = plan.Plan(
        etag=stored.etag,
        rows=len(reader.index),
        images=reader.images,
        dialect=reader.dialect,
        layout=reader.layout,
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
        self,
        chunks: Iterable[bytes],
        *,
        encoding: str | None = None,
        columns: ColumnOptions = UNDECLARED,
        limits: Limits = Limits(),
    ) -> None:
        self._limits = limits
        self._columns = columns
        self._digest = hashlib.sha256()
        self._source = Utf8Source(self._hashed(chunks), encoding)
        self._problems: list[Problem] = []
        self._blank_rows = 0
        self._links = FoundLinks()
        self._header = Header(",", len(rows.COLUMNS), "\n", TableLayout())
        self._fit = RecordFit(self._header)
        self._line = 0
        self._unread_lines = 0
        self._offset = 0
        self._yielded = 0
        self._record_chars = 0
        self.index = plan.RowIndex()
        self.dialect = plan.Dialect()
        self.warnings: list[Problem] = []

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    @property
    def images(self) -> int:
        return self._links.images

    @property
    def layout(self) -> TableLayout:
        return self._header.layout

    def canonical(self) -> Iterator[bytes]:
        """The canonical CSV in blocks. Raises InputRefusedError at the latest at its end."""
        try:
            yield from self._blocks()
        except UnicodeDecodeError as error:
            raise self._undecodable(error) from None
        except csv.Error as error:
            raise InputRefusedError([*self._problems, self._broken(error)]) from None
        if not self._problems and not self._links.links:
            self._problems.append(Problem("no_links", "the file has no http:// or https:// link at all"))
        if self._problems:
            raise InputRefusedError(self._problems)
        self.dialect = replace(self.dialect, bom=self._source.has_bom or not self._source.is_utf8)
        self.warnings = list(self._warn())

    def _blocks(self) -> Iterator[bytes]:
        """Parts joined to blocks, so that single rows don't cost a call each."""
        pending: list[bytes] = []
        for part in self._parts():
            pending.append(part)
            self._offset += len(part)
            if self._offset - self._yielded >= BLOCK_BYTES:
                self._yielded = self._offset
                yield b"".join(pending)
                pending.clear()
        yield b"".join(pending)

    def _parts(self) -> Iterator[bytes]:
        """The canonical header, then runs of rows and single rows. Each is made only after the one before it
        was taken, for `_offset` counts what was taken.
        """
        text = plain_rows.Text(self._source)
        lines = self._bounded(text)
        yield self._read_header(lines).encode()
        records = self._rows(lines)
        while True:
            if run := self._plain_run(text):
                yield run
            cells = next(records, None)
            if cells is None:
                return
            images = sum(self._links.add(cells[column], self._line) for column in self.layout.links)
            self.index.add(self._offset, images)
            yield rows.record(cells).encode()

    def _plain_run(self, text: plain_rows.Text) -> bytes:
        """Rows that need no reading, if such come next."""
        line_end = self.dialect.line_end
        if self._problems or line_end == "\r" or not self._header.may_be_plain:
            return b""
        run = text.plain_run(line_end, self._limits.max_rows - len(self.index))
        if not run.images:
            return b""
        self.index.add_run(self._offset, run.sizes, run.images)
        self._unread_lines += len(run.sizes)
        self._line += len(run.sizes)
        self._links.add_plain(sum(run.images))
        return run.text.encode()

    # -- bytes to lines ------------------------------------------------------------------------------

    def _hashed(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._digest.update(chunk)
            yield chunk

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

    def _read_header(self, lines: Iterator[str]) -> str:
        """Learn what the header says of the file; return the canonical header."""
        header = self._header = header_of(self._counted(lines), self._columns)
        self._fit = RecordFit(header)
        self._record_chars, self._unread_lines = 0, self._line
        self.dialect = plan.Dialect(line_end=header.line_end, delimiter=header.delimiter)
        return rows.record(header.layout.header)

    def _counted(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            self._line += 1
            self._record_chars = 0
            yield line

    # -- the rows ------------------------------------------------------------------------------------

    def _rows(self, lines: Iterator[str]) -> Iterator[list[str]]:
        header = self._header
        reader = csv.reader(
            lines, delimiter=header.delimiter, skipinitialspace=header.skips_blanks, strict=True
        )
        for fields in reader:
            self._record_chars = 0
            first_line, self._line = self._line + 1, self._unread_lines + reader.line_num
            if not any(map(str.strip, fields)):
                self._blank_rows += 1
                continue
            cells = self._fit.cells(fields, first_line)
            if isinstance(cells, Problem):
                self._refuse(cells)
            elif not self._problems:
                self._check_row_count(first_line)
                yield cells

    def _check_row_count(self, line: int) -> None:
        if len(self.index) >= self._limits.max_rows:
            raise InputRefusedError.of(
                "too_many_rows", f"the file has more than {self._limits.max_rows} rows; split it", line
            )

    def _refuse(self, problem: Problem) -> None:
        self._problems.append(problem)
        if len(self._problems) >= MAX_PROBLEMS:
            raise InputRefusedError(self._problems)

    # -- what is wrong, in words ---------------------------------------------------------------------

    def _undecodable(self, error: UnicodeDecodeError) -> InputRefusedError:
        """A byte that is no UTF-8, far behind those by which the file was taken for UTF-8."""
        line = self._line + 1 + error.object[: error.start].count(b"\n")
        found = encodings.guess(error.object[max(0, error.start - 200) : error.start + 200], is_whole=True)
        return not_readable(error.object[error.start : error.start + 1], "UTF-8", line, found.names)

    def _broken(self, error: csv.Error) -> Problem:
        reasons = {
            "unexpected end of data": "a quote is opened and never closed",
            "expected after": "text follows a closing quote; double the quotes inside a quoted field",
        }
        text = next((said for part, said in reasons.items() if part in str(error)), str(error))
        return Problem("broken_quoting", f"broken quoting: {text}", self._line + 1)

    def _warn(self) -> Iterator[Problem]:
        if self._source.guessed:
            name = self._source.guessed
            yield Problem(
                "encoding_guessed", f"the file is not UTF-8; it was read as {name}, as it seems to be"
            )
        if self._blank_rows:
            yield Problem("blank_rows", f"{self._blank_rows} blank rows were dropped")
        yield from self._fit.warnings()
        yield from self._links.warnings()
