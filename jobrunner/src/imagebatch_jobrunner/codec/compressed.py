"""A compressed image, as it passes from the codec process to its parent (which never loads a decoder)."""

from dataclasses import dataclass

from imagebatch.outcome import QualityBasis


@dataclass(frozen=True, slots=True, kw_only=True)
class Compressed:
    """A compressed image and what was done. Sizes are in pixels, as shown (after any rotation).

    `format` and `source_format` are names of the table in `imagebatch_jobrunner.formats`. `quality` is
    None where the source's picture was kept or the format has none.
    """

    data: bytes
    format: str
    width: int
    height: int
    source_format: str
    source_quality: int
    quality: int | None
    quality_basis: QualityBasis
    notes: tuple[str, ...] = ()
