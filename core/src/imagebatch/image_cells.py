"""An image's cells in errors.csv and report.csv, made from what its shard's fragment says.

Merge makes them once an image and writes them twice. They are text that is ready to be joined: the words of
strangers are tamed (`rows.own_cell`), and what needs quotes has them.
"""

from functools import lru_cache
from typing import NamedTuple, cast

from imagebatch import rows, shard
from imagebatch.outcome import EXPLANATIONS, KEPT_NOTES, ErrorCode, ImageOutcome, QualityBasis
from imagebatch.tally import Facts

MAX_MESSAGE_CHARS = 500
KNOWN_WORDS = 1024
"""Formats and notes are few; their number is bounded all the same, for a jobrunner chooses them."""


class ImageCells(NamedTuple):
    """`name` is the stored object's, or empty; `error` holds the cells `ERROR_COLUMNS`, `facts` those of
    `REPORT_FACTS`: of a stored image as its jobrunner told it, which decodes what strangers made.
    """

    name: str
    error: str
    facts: str
    sums: Facts


class CellMaker:
    """Makes cells for CSVs with one delimiter."""

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        self._quoted = rows.quoting(delimiter)
        self._word = lru_cache(KNOWN_WORDS)(lambda text: self._quoted(rows.own_cell(text)))
        self._no_error = delimiter * (len(rows.ERROR_COLUMNS) - 1)
        self._no_facts = delimiter * (len(rows.REPORT_FACTS) - 1)

    def of_record(self, record: list[str]) -> ImageCells:
        """The cells for a fragment's record. Raises ValueError for one that is no outcome."""
        (
            _, _, name, error, _, bytes_in, bytes_out, format_, width, height,
            source_format, source_quality, quality, basis, notes,
        ) = record  # fmt: skip
        if error:
            return self.of_failed(shard.outcome_of(record))
        sums = Facts(
            bytes_in=int(bytes_in),
            bytes_out=int(bytes_out),
            source_quality=int(source_quality) if source_quality else None,
            quality=int(quality) if quality else None,
            basis=cast(QualityBasis, basis) if basis else None,
            is_kept=not KEPT_NOTES.isdisjoint(notes.split()),
        )
        word, d = self._word, self._delimiter
        facts = (
            f"{word(source_format)}{d}{word(format_)}{d}{int(width)}{d}{int(height)}{d}{sums.bytes_in}"
            f"{d}{sums.bytes_out}{d}{_shown(sums.source_quality)}{d}{word(basis)}{d}{_shown(sums.quality)}"
            f"{d}{word(notes)}"
        )
        return ImageCells(name, self._no_error, facts, sums)

    def of_failed(self, outcome: ImageOutcome) -> ImageCells:
        assert outcome.error is not None
        return self._failed(outcome.name or "", outcome.error, outcome.message)

    def missing(self, code: ErrorCode) -> ImageCells:
        """The cells of an image of which no fragment says anything."""
        return self._failed("", code, "")

    def _failed(self, name: str, code: ErrorCode, message: str) -> ImageCells:
        told = rows.own_cell(message or EXPLANATIONS[code].cause)[:MAX_MESSAGE_CHARS]
        error = f"{code.value}{self._delimiter}{self._quoted(told)}"
        return ImageCells(name, error, self._no_facts, Facts(code))


def _shown(number: int | None) -> int | str:
    return "" if number is None else number
