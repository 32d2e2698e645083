"""The output CSV, errors.csv and report.csv of a batch, written in one walk over what its shards left.

Merge walks the canonical CSV in order and looks up what became of each link; so every input row is in the
output, in its place, whatever the fragments say. Where a shard left no report, what its checkpoint does not
name is `shard_failed`, or `not_tried` when the batch ended early. Memory is that of one shard and of one part
for each CSV. The operator and the local engine call `merge`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import structlog

from imagebatch.batch import checkpoint
from imagebatch.batch.plan import Plan, ShardRange
from imagebatch.batch.shard import ShardId, fragment_records, read_report
from imagebatch.csv import rows
from imagebatch.csv.image_cells import CellMaker, ImageCells
from imagebatch.csv.tally import Tally
from imagebatch.errors import NotFoundError
from imagebatch.outcome import Counts, ErrorCode, Qualities
from imagebatch.storage import keys
from imagebatch.storage.store import CSV, ObjectStore, ObjectWriter

BLOCK_CHARS = 1 << 16

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Merged:
    """A batch's result. `errors` counts failed images by code; `errors_key` is None when none failed."""

    counts: Counts
    qualities: Qualities
    errors: Mapping[str, int]
    output_key: str
    errors_key: str | None
    report_key: str


def merge(
    store: ObjectStore,
    request_id: str,
    attempt: int,
    plan: Plan,
    *,
    not_tried: Collection[int] = frozenset(),
) -> Merged:
    """Write the CSVs of a batch whose shards are done, given up or, at an early end, `not_tried`.

    Merging again gives the same bytes, so it may be repeated after any interruption. Each CSV becomes visible
    when it is whole, the output last. Blocks; call it in a thread. Raises NotFoundError when the canonical
    CSV is gone, StoreError, ValueError for a fragment that can't be read.
    """
    source = _Source(store, request_id, attempt, plan, not_tried)
    with ExitStack() as stack:
        sheets = _Sheets(store, request_id, plan, stack)
        for index in range(len(plan.shards)):
            for row in source.rows(index):
                sheets.add(*row)
    return Merged(
        counts=sheets.tally.counts,
        qualities=sheets.tally.qualities,
        errors=sheets.tally.errors,
        output_key=keys.output(request_id),
        errors_key=sheets.errors_key,
        report_key=keys.image_report(request_id),
    )


class _Row(NamedTuple):
    number: int
    cells: list[str]
    links: list[str]
    images: list[ImageCells]


class _Source:
    """What is merged: the canonical CSV's rows, each with what became of its links."""

    def __init__(
        self, store: ObjectStore, request_id: str, attempt: int, plan: Plan, not_tried: Collection[int]
    ) -> None:
        self._store = store
        self._request_id = request_id
        self._attempt = attempt
        self._plan = plan
        self._not_tried = not_tried
        self._maker = CellMaker(plan.dialect.delimiter)

    def rows(self, index: int) -> Iterator[_Row]:
        """A shard's rows, in order."""
        part = self._plan.shards[index]
        found = self._images(index)
        lost = self._maker.missing(
            ErrorCode.NOT_TRIED if index in self._not_tried else ErrorCode.SHARD_FAILED
        )
        for number, cells in enumerate(self._canonical(part), part.first_row):
            row_links = self._plan.layout.entries(cells)
            slots = range(1, len(row_links) + 1)
            yield _Row(number, cells, row_links, [found.get((number, slot), lost) for slot in slots])

    def _canonical(self, part: ShardRange) -> Iterator[list[str]]:
        key = self._plan.input_of(self._request_id)
        with self._store.open(key, offset=part.offset, length=part.length, etag=self._plan.etag) as chunks:
            yield from rows.parse(chunks)

    def _images(self, index: int) -> dict[tuple[int, int], ImageCells]:
        """A shard's images by row and slot: those of its report or, where it left none, of its checkpoint.

        So are those of a report whose fragment is gone: a retry of the batch then does the rest.
        """
        which = ShardId(self._request_id, self._attempt, index)
        report = read_report(self._store, which)
        if report is not None:
            try:
                with self._store.open(report.fragment) as chunks:
                    return self._cells(fragment_records(chunks))
            except NotFoundError as error:
                log.warning("a shard's fragment is gone", shard=index, error=str(error))
        return self._cells(chain.from_iterable(checkpoint.parts(self._store, which)))

    def _cells(self, records: Iterable[list[str]]) -> dict[tuple[int, int], ImageCells]:
        of_record = self._maker.of_record
        return {(int(record[0]), int(record[1])): of_record(record) for record in records}


class _Sheets:
    """The three CSVs. Leaving `stack` completes them in the reverse order of opening: the output last."""

    def __init__(self, store: ObjectStore, request_id: str, plan: Plan, stack: ExitStack) -> None:
        self._store = store
        self._request_id = request_id
        self._dialect = plan.dialect
        self._layout = plan.layout
        self._stack = stack
        self._quoted = rows.quoting(plan.dialect.delimiter)
        self._image_prefix = keys.image_prefix(request_id)
        self._output = self._opened(keys.output(request_id), (*plan.layout.header, rows.OUTPUT_COLUMN))
        self._report = self._opened(keys.image_report(request_id), rows.REPORT_COLUMNS)
        self._errors: _Sheet | None = None
        self.errors_key: str | None = None
        self.tally = Tally()

    def add(self, number: int, cells: list[str], row_links: list[str], images: list[ImageCells]) -> None:
        """Write a row to the output, its images to the report, and those that failed to errors.csv."""
        quoted, d, line_end = self._quoted, self._dialect.delimiter, self._dialect.line_end
        layout = self._layout
        written = list(map(quoted, cells))
        serial, product = (
            "" if column is None else written[column] for column in (layout.serial, layout.name)
        )
        addresses, reported = [], []
        for slot, (link, image) in enumerate(zip(row_links, images, strict=True), 1):
            address = self._store.link(self._image_prefix + image.name) if image.name else ""
            addresses.append(address)
            about = f"{serial}{d}{product}{d}{quoted(link)}{d}"
            reported.append(
                f"{number}{d}{slot}{d}{about}{quoted(address)}{d}{image.error}{d}{image.facts}{line_end}"
            )
            if image.code is None:
                self.tally.add_stored(image.bytes_in, image.bytes_out, image.quality)
            else:
                self.tally.add_missing(image.code)
                self._errors_csv().add(f"{about}{image.error}{line_end}")
        self._report.add(*reported)
        if layout.in_place:
            written = list(map(quoted, layout.replaced(cells, addresses)))
        self._output.add(f"{d.join(written)}{d}{quoted(','.join(addresses))}{line_end}")

    def _errors_csv(self) -> "_Sheet":
        """errors.csv, which begins with the first image that failed."""
        if self._errors is None:
            self.errors_key = keys.errors(self._request_id)
            self._errors = self._opened(self.errors_key, (*rows.COLUMNS, *rows.ERROR_COLUMNS))
        return self._errors

    def _opened(self, key: str, columns: tuple[str, ...]) -> "_Sheet":
        sheet = self._stack.enter_context(_sheet(self._store, key))
        bom = "\ufeff" if self._dialect.bom else ""
        sheet.add(bom + rows.record(columns, self._dialect.line_end, self._dialect.delimiter))
        return sheet


@contextmanager
def _sheet(store: ObjectStore, key: str) -> "Iterator[_Sheet]":
    with store.writing(key, CSV) as target:
        sheet = _Sheet(target)
        yield sheet
        sheet.flush()


class _Sheet:
    """Records joined to blocks, so that small rows don't cost a call each."""

    def __init__(self, target: ObjectWriter) -> None:
        self._target = target
        self._pending: list[str] = []
        self._chars = 0

    def add(self, *records: str) -> None:
        self._pending += records
        self._chars += sum(map(len, records))
        if self._chars >= BLOCK_CHARS:
            self.flush()

    def flush(self) -> None:
        self._target.write("".join(self._pending).encode())
        self._pending.clear()
        self._chars = 0
