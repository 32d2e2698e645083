"""A compressed image, as it passes from the codec process to its parent (which never loads a decoder)."""

from dataclasses import dataclass

from imagebatch.outcome import QualityBasis
from imagebatch_jobrunner.codec.formats import FormatName


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """A compressed image and what was done. Sizes are in pixels, as shown (after any rotation).

    `quality` is None where the source's picture was kept or the format knows none.
    """

    data: bytes
    format: FormatName
    width: int
    height: int
    source_format: FormatName
    source_quality: int
    quality: int | None
    quality_basis: QualityBasis
    notes: tuple[str, ...] = ()
