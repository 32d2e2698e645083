"""How much memory a picture takes. A codec process asks its parent for that before it decodes.

The bytes a pixel are bounds of what was measured with Pillow 13 on pictures full of detail of 0.06 to 49
megapixels, as the growth of a process from what it holds when idle (benchmarks/memory.py prints them).
Small pictures take more a pixel than large ones, by up to `_SMALL` of them: encoders work on parts of that
size. What decoding and encoding a format take a pixel stands in the format's file.
"""

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.decoder import choice
from imagebatch_jobrunner.decoder.choice import Facts
from imagebatch_jobrunner.decoder.source import Source
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits

_MIB = 1024 * 1024

_FRAMES = 15
"""Bytes a pixel of an animation: decoded frames, the same converted to another mode, encoded output."""

_ENCODING_LOSSLESS = 42
"""Bytes a pixel of lossless WebP, which is tried for files whose metadata can't be cut out."""

_SMALL = 25
_MOST_SMALL_BYTES = 48 * _MIB
_ANY_BYTES = 3 * _MIB

_BLOCK_BYTES = 64 * 2 + 8
"""A block's coefficients, and which of them are not 0."""

_SYMBOL_BYTES = 2
"""A symbol is kept until the best Huffman tables are known. A coefficient takes two bits of the file or
more; a block has up to five symbols without one: its DC value, three runs of zeroes, its end.
"""

_MOST_SYMBOL_BYTES = 65 * 128 * 1024
"""`MAX_PIECES` of native/requantiser/src/symbols.rs and the one being filled. With more it is read twice."""

LOSSLESS_MAX_PIXELS = 10_000_000
"""Larger pictures are not tried without loss: that takes more memory than all else."""


def checked(found: int, source: Source, limits: PictureLimits) -> int:
    """The need found. Raises CodecError when no picture may have so much."""
    if found > limits.memory_bytes:
        raise CodecError(
            ErrorCode.TOO_MANY_PIXELS,
            f"the picture has {source.width} x {source.height} pixels and may take {found // _MIB} MiB "
            f"of memory; IMAGEBATCH_PICTURE_BYTES_IN_FLIGHT is {limits.memory_bytes // _MIB} MiB",
        )
    return found


def requantising(source: Source, options: Compression) -> int:
    """An upper bound of the bytes that requantising a JPEG takes: the new file, up to three times; its
    symbols, up to a bound; its coefficients, where it is not streamed. A progressive file has no symbols to
    keep, and its coefficients twice while they are turned.
    """
    assert source.jpeg is not None
    samplings = source.jpeg.samplings
    across, down = (max(sampling[axis] for sampling in samplings) for axis in (0, 1))
    blocks = sum(
        -(-source.width * its_across // (8 * across)) * -(-source.height * its_down // (8 * down))
        for its_across, its_down in samplings
    )
    symbols = min((4 * len(source.data) + 5 * blocks) * _SYMBOL_BYTES, _MOST_SYMBOL_BYTES)
    coefficients = 0 if source.is_streamable else blocks * _BLOCK_BYTES
    if options.progressive:
        symbols, coefficients = 0, blocks * _BLOCK_BYTES * (1 if source.orientation == 1 else 2)
    return 3 * len(source.data) + symbols + coefficients + _ANY_BYTES


def decoding(source: Source, options: Compression) -> int:
    """An upper bound of the bytes that decoding to pixels and encoding take, known from the header alone."""
    pixels = source.width * source.height
    width, height = source.target_size(options)
    encoding = width * height * _encoding(source, options, width * height * source.frames)
    if source.is_animated:
        found = pixels * source.frames * _FRAMES + encoding
    else:
        found = max(pixels * source.format.decoding_bytes, encoding)
    return found + min(pixels * _SMALL, _MOST_SMALL_BYTES) + _ANY_BYTES


def _encoding(source: Source, options: Compression, pixels: int) -> int:
    """Bytes a pixel; `pixels` are those of all frames."""
    facts = Facts(
        format=source.format,
        quality=source.quality,
        is_transparent=source.may_be_transparent,
        is_animated=source.is_animated,
        is_resized=False,
    )
    if source.format.strip is None and source.format.may_be_kept and pixels <= LOSSLESS_MAX_PIXELS:
        return _ENCODING_LOSSLESS
    encoder = choice.output_format(facts, options).encoder
    assert encoder is not None
    return encoder.transparent_bytes if source.may_be_transparent else encoder.opaque_bytes
