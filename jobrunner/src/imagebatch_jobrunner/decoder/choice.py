"""Which format and quality a picture gets. Pure: it sees facts, no pixels.

Used by `from_pixels`, `jpeg.transcode` and `memory`.
"""

from dataclasses import dataclass

from imagebatch.options import Compression
from imagebatch_jobrunner.decoder.formats import jpeg, table, webp
from imagebatch_jobrunner.decoder.formats.format import Format
from imagebatch_jobrunner.decoder.quality import SourceQuality


@dataclass(frozen=True, slots=True)
class Facts:
    """What the choice depends on."""

    format: Format
    quality: SourceQuality
    is_transparent: bool
    is_animated: bool
    is_resized: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """How to encode. `quality` is None for formats that have none.

    `may_keep`: the source's own picture will do where encoding would not make it smaller.
    `is_already_compressed`: it is not worth encoding again at all.
    """

    format: Format
    quality: int | None
    may_keep: bool
    is_already_compressed: bool


def choose(facts: Facts, options: Compression) -> Choice:
    target = output_format(facts, options)
    number = target_quality(facts.quality, options) if _has_quality(target) else None
    may_keep = (
        facts.format.may_be_kept
        and not facts.is_resized
        and (options.format in {"auto", "keep"} or target is facts.format)
    )
    return Choice(
        format=target,
        quality=number,
        may_keep=may_keep,
        is_already_compressed=may_keep and _is_already_compressed(facts, target, options),
    )


def output_format(facts: Facts, options: Compression) -> Format:
    """For formats that browsers do not show, `keep` does what `auto` does."""
    if options.format == "keep" and facts.format.encoder is not None:
        return facts.format
    if options.format in table.BY_NAME:
        return table.BY_NAME[options.format]
    return webp.FORMAT if facts.is_transparent or facts.is_animated else jpeg.FORMAT


def target_quality(source: SourceQuality, options: Compression) -> int:
    """The quality to encode with: absolute, or that part of the source's, not below the floor."""
    if not options.is_relative:
        return options.quality_number
    relative = (source.number * options.quality_number + 50) // 100
    return max(relative, options.min_quality, 1)


def _is_already_compressed(facts: Facts, target: Format, options: Compression) -> bool:
    """A lossy source at or below the quality it would get only loses by being encoded again."""
    is_same_format = target is facts.format
    at_floor = options.is_relative and facts.quality.number <= options.min_quality
    return _has_quality(facts.format) and (
        at_floor or (is_same_format and facts.quality.number <= target_quality(facts.quality, options))
    )


def _has_quality(of: Format) -> bool:
    return of.encoder is not None and of.encoder.has_quality
