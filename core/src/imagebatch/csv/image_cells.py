"""An image's cells in errors.csv and report.csv, made from what its shard's fragment says.

Merge makes them once an image and writes them twice. They are text that is ready to be joined: the words of
strangers are tamed (`rows.own_cell`), and what needs quotes has them.
"""

from functools import lru_cache
from typing import NamedTuple, cast

from imagebatch.batch import shard
from imagebatch.csv import rows
from imagebatch.csv.tally import Quality
from imagebatch.outcome import EXPLANATIONS, KEPT_NOTES, REQUANTISED, ErrorCode, ImageOutcome, QualityBasis

MAX_MESSAGE_CHARS = 500
KNOWN = 1024
"""Formats, qualities and notes repeat, so their cells are cached; bounded, for a jobrunner chooses them."""


class ImageCells(NamedTuple):
    """`name` is the stored object's, or empty; `error` holds the cells `ERROR_COLUMNS`, `facts` those of
    `REPORT_FACTS`. The facts are what the jobrunner reports, and it decodes what strangers made: they are not
    trusted. `code` is None exactly when the image is stored.
    """

    name: str
    error: str
    facts: str
    code: ErrorCode | None = None
    bytes_in: int = 0
    bytes_out: int = 0
    quality: Quality | None = None


class CellMaker:
    """Makes cells for CSVs with one delimiter."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._quoted = rows.quoting(delimiter)
        self._formats = lru_cache(KNOWN)(self._words)
        self._qualities = lru_cache(KNOWN)(self._quality)
        self._no_error = delimiter * (len(rows.ERROR_COLUMNS) - 1)
        self._no_facts = delimiter * (len(rows.REPORT_FACTS) - 1)

    def of_record(self, record: list[str]) -> ImageCells:
        """The cells for a fragment's record. Raises ValueError for one that is no outcome."""
        (
            _, _, name, error, _, size_in, size_out, format_, width, height,
            source_format, source_quality, quality, basis, notes,
        ) = record  # fmt: skip
        if error:
            return self._of_failed(shard.outcome_of(record))
        d = self._delimiter
        bytes_in, bytes_out = int(size_in), int(size_out)
        formats = self._formats(source_format, format_)
        qualities, known = self._qualities(source_quality, quality, basis, notes)
        facts = f"{formats}{d}{int(width)}{d}{int(height)}{d}{bytes_in}{d}{bytes_out}{d}{qualities}"
        return ImageCells(name, self._no_error, facts, None, bytes_in, bytes_out, known)

    def missing(self, code: ErrorCode) -> ImageCells:
        """The cells of an image of which no fragment says anything."""
        return self._failed("", code, "")

    def _of_failed(self, outcome: ImageOutcome) -> ImageCells:
        assert outcome.error is not None
        return self._failed(outcome.name or "", outcome.error, outcome.message)

    def _failed(self, name: str, code: ErrorCode, message: str) -> ImageCells:
        words = rows.own_cell(message or EXPLANATIONS[code].cause)[:MAX_MESSAGE_CHARS]
        error = f"{code.value}{self._delimiter}{self._quoted(words)}"
        return ImageCells(name, error, self._no_facts, code)

    def _quality(self, source: str, encoded: str, basis: str, notes: str) -> tuple[str, Quality | None]:
        """The last four cells, and what they say in numbers."""
        its = int(encoded) if encoded else None
        of_source = int(source) if source else None
        cells = self._delimiter.join(
            (shard.cell(of_source), self._words(basis), shard.cell(its), self._words(notes))
        )
        if of_source is None or not basis:
            return cells, None
        words = notes.split()
        is_kept, is_requantised = not KEPT_NOTES.isdisjoint(words), REQUANTISED in words
        return cells, Quality(of_source, its, cast(QualityBasis, basis), is_kept, is_requantised)

    def _words(self, *words: str) -> str:
        return self._delimiter.join(self._quoted(rows.own_cell(word)) for word in words)
