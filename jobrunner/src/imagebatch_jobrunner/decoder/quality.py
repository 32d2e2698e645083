"""Which quality a JPEG was saved with, read from its quantisation tables.

The tables are those of ITU-T T.81 (1992), Annex K, tables K.1 and K.2; the scaling to a quality of 1 to
100 is that of the Independent JPEG Group's `jpeg_set_quality` (libjpeg, jcparam.c). The quality whose
tables are nearest by the sum of absolute differences (L1) is exact for everything libjpeg wrote.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from imagebatch.outcome import QualityBasis

Table = tuple[int, ...]

LUMINANCE: Table = (
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
CHROMINANCE: Table = (
    17, 18, 24, 47, 99, 99, 99, 99,
    18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99,
)  # fmt: skip

_BASELINE_MAX = 255
_HALF = 50
_KNOWN_TABLES = 64
"""The pictures of a shop come from few cameras and programs, whose tables come again and again."""


@dataclass(frozen=True, slots=True)
class SourceQuality:
    """A source's quality on libjpeg's scale of 1 to 100, and how it is known."""

    number: int
    basis: QualityBasis


LOSSLESS = SourceQuality(100, "exact")
ASSUMED = SourceQuality(80, "assumed")
"""WebP, AVIF and HEIC do not say their quality; 80 is a usual default of their encoders and services."""


def estimate(tables: Mapping[int, Sequence[int]]) -> SourceQuality:
    """The quality of a JPEG with these quantisation tables.

    `tables` is Pillow's `quantization`: table number → 64 values in natural (row by row) order; the first
    is for luminance, the second, where there is one, for chrominance.
    """
    return _estimated(tuple(tuple(tables[key]) for key in sorted(tables)[:2]))


@lru_cache(_KNOWN_TABLES)
def _estimated(tables: tuple[Table, ...]) -> SourceQuality:
    found = [tuple(min(value, _BASELINE_MAX) for value in table) for table in tables]
    if not found or any(len(table) != len(LUMINANCE) for table in found):
        return ASSUMED
    joined = sum(found, ())
    exact = _by_tables(len(found)).get(joined)
    if exact is not None:
        return SourceQuality(exact, "exact")
    return SourceQuality(_nearest(joined, len(found)), "approximate")


def _nearest(joined: Table, count: int) -> int:
    def distance(table: Table) -> int:
        return sum(abs(one - other) for one, other in zip(joined, table, strict=True))

    known = _by_tables(count)
    return known[min(known, key=distance)]


@cache
def _by_tables(count: int) -> dict[Table, int]:
    """The quality of each of the 100 standard tables (`count` 1: luminance only) or pairs (2)."""
    bases = (LUMINANCE, CHROMINANCE)[:count]
    return {sum((scaled(base, quality) for base in bases), ()): quality for quality in range(1, 101)}


def scaled(base: Table, quality: int) -> Table:
    """The table that libjpeg uses at `quality`, limited to 8 bits as in baseline JPEG."""
    per_cent = 5000 // quality if quality < _HALF else 200 - 2 * quality
    return tuple(min(max((value * per_cent + 50) // 100, 1), _BASELINE_MAX) for value in base)
