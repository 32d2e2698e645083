"""The output CSV, errors.csv and report.csv of a batch, streamed from its shards' fragments.

Merge walks the canonical CSV in order and looks up what became of each link; so every input row is in the
output, in its place, whatever the fragments say. Where a shard left no report, its images are
`shard_failed`, or `not_tried` when the batch was ended before. Memory is that of one shard. The operator
and the local engine call `merge`.
"""

import codecs
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from imagebatch import keys, links, rows, shard
from imagebatch.errors import NotFoundError
from imagebatch.outcome import EXPLANATIONS, Counts, ErrorCode, ImageOutcome, Qualities
from imagebatch.plan import Dialect, Plan, ShardRange
from imagebatch.shard import Report, read_fragment
from imagebatch.store import CSV, ObjectStore

BLOCK_CHARS = 1 << 16
MAX_MESSAGE_CHARS = 500


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

    Merging again gives the same bytes, so it may be repeated after any interruption. Blocks; call it in a
    thread. Raises NotFoundError when the canonical CSV is gone, StoreError.
    """
    work = _Merge(store, request_id, attempt, plan, not_tried)
    store.put_stream(keys.output(request_id), work.output(), CSV)
    errors_key = None
    if work.counts.failed or work.counts.skipped:
        errors_key = keys.errors(request_id)
        store.put_stream(errors_key, work.errors(), CSV)
    report_key = keys.image_report(request_id)
    store.put_stream(report_key, work.report(), CSV)
    return Merged(
        counts=work.counts,
        qualities=work.qualities,
        errors=dict(work.codes.most_common()),
        output_key=keys.output(request_id),
        errors_key=errors_key,
        report_key=report_key,
    )


@dataclass(frozen=True, slots=True)
class _Row:
    cells: list[str]
    links: list[str]
    outcomes: list[ImageOutcome]


@dataclass(slots=True)
class _Merge:
    store: ObjectStore
    request_id: str
    attempt: int
    plan: Plan
    not_tried: Collection[int]
    counts: Counts = Counts()
    qualities: Qualities = Qualities()
    codes: Counter[str] = field(default_factory=Counter)
    shards_with_errors: list[int] = field(default_factory=list)

    def output(self) -> Iterator[bytes]:
        """The output CSV. Counts as it goes."""
        yield _head(self.plan.dialect, (*rows.COLUMNS, rows.OUTPUT_COLUMN))
        prefix = keys.image_prefix(self.request_id)
        for index in range(len(self.plan.shards)):
            missing_before = self.counts.total - self.counts.succeeded
            yield from _blocks(self._output_record(prefix, row) for row in self._rows(index))
            if self.counts.total - self.counts.succeeded > missing_before:
                self.shards_with_errors.append(index)

    def _output_record(self, prefix: str, row: _Row) -> str:
        stored = []
        for outcome in row.outcomes:
            self.counts = self.counts.with_outcome(outcome)
            self.qualities = self.qualities.with_outcome(outcome)
            if outcome.error not in {None, ErrorCode.NOT_TRIED}:
                self.codes[outcome.error] += 1
            stored.append(self.store.link(prefix + outcome.name) if outcome.name else "")
        return _record([*row.cells, ",".join(stored)], self.plan.dialect)

    def errors(self) -> Iterator[bytes]:
        """errors.csv: the rows that have failed images, with only those links."""
        yield _head(self.plan.dialect, (*rows.COLUMNS, *rows.ERROR_COLUMNS))
        for index in self.shards_with_errors:
            yield from _blocks(record for row in self._rows(index) for record in self._error_records(row))

    def _error_records(self, row: _Row) -> Iterator[str]:
        """One record a failed image, so that code and message stand beside their link."""
        for link, outcome in zip(row.links, row.outcomes, strict=True):
            if outcome.error is not None:
                cells = [*row.cells[:2], link, *_error_cells(outcome)]
                yield _record(cells, self.plan.dialect)

    def report(self) -> Iterator[bytes]:
        """report.csv: one record an image, in order, of what became of it."""
        yield _head(self.plan.dialect, rows.REPORT_COLUMNS)
        for index in range(len(self.plan.shards)):
            yield from _blocks(record for row in self._rows(index) for record in self._report_records(row))

    def _report_records(self, row: _Row) -> Iterator[str]:
        prefix = keys.image_prefix(self.request_id)
        for link, outcome in zip(row.links, row.outcomes, strict=True):
            stored = self.store.link(prefix + outcome.name) if outcome.name else ""
            yield _record(
                [
                    *(shard.cell(place) for place in (outcome.row, outcome.slot)),
                    *row.cells[:2],
                    link,
                    stored,
                    *_error_cells(outcome),
                    *(_fact(outcome, name) for name in rows.REPORT_FACTS),
                ],
                self.plan.dialect,
            )

    def _rows(self, index: int) -> Iterator[_Row]:
        part = self.plan.shards[index]
        found = self._outcomes(index)
        lost = ErrorCode.NOT_TRIED if index in self.not_tried else ErrorCode.SHARD_FAILED
        for number, cells in enumerate(self._canonical(part), part.first_row):
            row_links = links.split(cells[2])
            outcomes = [
                found.get((number, slot)) or ImageOutcome(row=number, slot=slot, error=lost)
                for slot in range(1, len(row_links) + 1)
            ]
            yield _Row(cells, row_links, outcomes)

    def _canonical(self, part: ShardRange) -> Iterator[list[str]]:
        key = self.plan.input_of(self.request_id)
        with self.store.open(key, offset=part.offset, length=part.length, etag=self.plan.etag) as chunks:
            yield from rows.parse(chunks)

    def _outcomes(self, index: int) -> dict[tuple[int, int], ImageOutcome]:
        report_key = keys.report(self.request_id, self.attempt, index)
        try:
            report = Report.from_json(self.store.get(report_key))
        except NotFoundError:
            return {}
        with self.store.open(report.fragment) as chunks:
            return {(outcome.row, outcome.slot): outcome for outcome in read_fragment(chunks)}


def _fact(outcome: ImageOutcome, name: str) -> str:
    """A fact of a stored image as its jobrunner told it, which decodes what strangers made: its words are
    not trusted. Empty where nothing is stored.
    """
    value = getattr(outcome, name) if outcome.succeeded else None
    return shard.cell(value) if isinstance(value, int) else rows.own_cell(shard.cell(value))


def _error_cells(outcome: ImageOutcome) -> tuple[str, str]:
    """Code and message; both empty where nothing failed."""
    if outcome.error is None:
        return "", ""
    message = rows.own_cell(outcome.message or EXPLANATIONS[outcome.error].cause)
    return outcome.error.value, message[:MAX_MESSAGE_CHARS]


def _head(dialect: Dialect, columns: tuple[str, ...]) -> bytes:
    bom = codecs.BOM_UTF8 if dialect.bom else b""
    return bom + _record(columns, dialect).encode()


def _record(cells: Iterable[str], dialect: Dialect) -> str:
    return rows.record(cells, dialect.line_end, dialect.delimiter)


def _blocks(records: Iterator[str]) -> Iterator[bytes]:
    """Records joined to blocks, so that small rows don't cost a call each."""
    pending: list[str] = []
    size = 0
    for text in records:
        pending.append(text)
        size += len(text)
        if size >= BLOCK_CHARS:
            yield "".join(pending).encode()
            pending, size = [], 0
    yield "".join(pending).encode()
