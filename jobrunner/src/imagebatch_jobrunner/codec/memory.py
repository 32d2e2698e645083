"""How much memory a picture takes. A codec process asks its parent for that before it decodes.

The bytes a pixel were measured with Pillow 13 on pictures full of detail, as the growth of a process's peak
(benchmarks/memory.py prints them): 4 to 10.5 for decoding, 18.1 for WebP; 5 to 10 for encoding JPEG, PNG, GIF
and opaque WebP, up to 36 for WebP with alpha, 28 for lossless WebP, up to 37 for AVIF.
"""

from imagebatch.options import Compression
from imagebatch_jobrunner.codec import choice, formats
from imagebatch_jobrunner.codec.choice import Facts
from imagebatch_jobrunner.codec.opening import Source
from imagebatch_jobrunner.codec.picture import target_size

_DECODING = 11
_DECODING_WEBP = 19
_ENCODING = 11
_ENCODING_ALPHA = 37
_ENCODING_LOSSLESS = 30
_ENCODING_AVIF = 37

LOSSLESS_MAX_PIXELS = 10_000_000
"""Larger pictures are not tried without loss: that takes more memory than all else."""


def needed(source: Source, options: Compression) -> int:
    """An upper bound of the bytes that decoding and encoding take, known from the header alone."""
    pixels = source.width * source.height * source.frames
    width, height = target_size(source, options)
    decoding = pixels * (_DECODING_WEBP if source.format == formats.WEBP else _DECODING)
    encoding = width * height * source.frames * _encoding(source, options, width * height)
    return max(decoding, encoding)


def _encoding(source: Source, options: Compression, pixels: int) -> int:
    facts = Facts(
        format=source.format,
        quality=source.quality,
        is_transparent=source.may_be_transparent,
        is_animated=source.is_animated,
        is_resized=False,
    )
    output = choice.output_format(facts, options)
    if source.format in {formats.TIFF, formats.PSD} and pixels <= LOSSLESS_MAX_PIXELS:
        return max(_ENCODING_LOSSLESS, _ENCODING_AVIF if output == formats.AVIF else 0)
    if output == formats.AVIF:
        return _ENCODING_AVIF
    return _ENCODING_ALPHA if output == formats.WEBP and source.may_be_transparent else _ENCODING
