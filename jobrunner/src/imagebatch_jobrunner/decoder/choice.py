"""Which format and quality a picture gets. Pure: it sees facts, no pixels.

Used by `compress`.
"""

from dataclasses import dataclass

from imagebatch.options import Compression
from imagebatch_jobrunner.codec import formats
from imagebatch_jobrunner.codec.formats import ImageFormat
from imagebatch_jobrunner.decoder.quality import SourceQuality

_KEEPABLE = frozenset({formats.JPEG, formats.PNG, formats.WEBP, formats.GIF, formats.AVIF})
"""What browsers show. `keep` treats the other formats like `auto`."""

_WITHOUT_QUALITY = frozenset({formats.PNG, formats.GIF})


@dataclass(frozen=True, slots=True)
class Facts:
    """What the choice depends on."""

    format: ImageFormat
    quality: SourceQuality
    is_transparent: bool
    is_animated: bool
    is_resized: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """How to encode. `quality` is None for formats that know none.

    `may_keep`: the source's own picture will do where encoding would not make it smaller.
    `is_already_compressed`: it is not worth encoding again at all.
    """

    format: ImageFormat
    quality: int | None
    may_keep: bool
    is_already_compressed: bool


def choose(facts: Facts, options: Compression) -> Choice:
    target = output_format(facts, options)
    number = None if target in _WITHOUT_QUALITY else target_quality(facts.quality, options)
    may_keep = not facts.is_resized and (options.format in {"auto", "keep"} or target == facts.format)
    return Choice(
        format=target,
        quality=number,
        may_keep=may_keep,
        is_already_compressed=may_keep and _is_already_compressed(facts, target, options),
    )


def output_format(facts: Facts, options: Compression) -> ImageFormat:
    if options.format == "keep" and facts.format in _KEEPABLE:
        return facts.format
    if options.format in formats.BY_NAME:
        return formats.BY_NAME[options.format]
    return formats.WEBP if facts.is_transparent or facts.is_animated else formats.JPEG


def target_quality(source: SourceQuality, options: Compression) -> int:
    """The quality to encode with: absolute, or that part of the source's, not below the floor."""
    if not options.is_relative:
        return options.quality_number
    relative = (source.number * options.quality_number + 50) // 100
    return max(relative, options.min_quality, 1)


def _is_already_compressed(facts: Facts, target: ImageFormat, options: Compression) -> bool:
    """A lossy source at or below the quality it would get only loses by being encoded again."""
    is_lossy = facts.format in {formats.JPEG, formats.WEBP, formats.AVIF}
    same_codec = target == facts.format
    at_floor = options.is_relative and facts.quality.number <= options.min_quality
    return is_lossy and (
        at_floor or (same_codec and facts.quality.number <= target_quality(facts.quality, options))
    )
