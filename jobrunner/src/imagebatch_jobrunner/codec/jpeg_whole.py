"""Whether a JPEG's picture is whole, which its decoder does not tell.

libjpeg fills what is missing with grey when a scan ends too early and the file still has an end marker, and
only warns, which Pillow does not pass on. A progressive JPEG that ends within its last scan passes: all of
the picture is there, its lower part a bit less exact. Used by `picture`, after decoding.
"""

import io
from itertools import pairwise
from typing import cast

from PIL import Image, ImageChops

from imagebatch_jobrunner.codec import jpeg_structure
from imagebatch_jobrunner.codec.jpeg_structure import SOS, Segment

_GREY = frozenset({127, 128})
_CORNER = 2
_STRIP_ROWS = 256
_PADDING = b"\x5a" * 256
"""Bytes that no decoder needs after a whole scan, and that one out of data reads on."""

_LAST_COEFFICIENT = 63


def is_whole(data: bytes, image: Image.Image) -> bool:
    """Whether the loaded `image` shows all of the picture in `data`."""
    is_progressive = "progressive" in image.info
    if not is_progressive and not _ends_grey(image):
        return True
    try:
        found = list(jpeg_structure.segments(data))
    except (ValueError, IndexError):
        return True  # it could be decoded nevertheless
    return _has_every_bit(found) if is_progressive else _is_same_with_padding(data, found, image)


def _has_every_bit(found: list[Segment]) -> bool:
    """Whether the scans of a progressive JPEG give each coefficient down to its last bit (T.81, G.1.1)."""
    last_bits: dict[tuple[int, int], int] = {}
    for one in found:
        if one.marker == SOS and len(one.content) >= 1:
            count = one.content[0]
            components = one.content[1 : 1 + 2 * count : 2]
            first, last, bits = one.content[1 + 2 * count : 4 + 2 * count]
            last_bits |= {
                (component, place): bits & 0x0F
                for component in components
                for place in range(first, min(last, _LAST_COEFFICIENT) + 1)
            }
    components_seen = {component for component, _ in last_bits}
    return all(
        last_bits.get((component, place), 1) == 0
        for component in components_seen
        for place in range(_LAST_COEFFICIENT + 1)
    )


def _ends_grey(image: Image.Image) -> bool:
    """Whether the last pixels are exactly the middle grey that stands for missing data."""
    width, height = image.size
    corner = image.crop((max(0, width - _CORNER), max(0, height - _CORNER), width, height))
    bands = cast("list[tuple[int, int]]", [band.getextrema() for band in corner.split()])
    return all(low == high and low in _GREY for low, high in bands)


def _is_same_with_padding(data: bytes, found: list[Segment], image: Image.Image) -> bool:
    """Whether more data after each scan changes nothing: only then had the scans all that they need."""
    ends = [0, *(one.end for one in found if one.marker == SOS), len(data)]
    parts = [data[start:end] for start, end in pairwise(ends)]
    try:
        with Image.open(io.BytesIO(_PADDING.join(parts)), formats=["JPEG"]) as padded:
            padded.draft(None, image.size) if padded.size != image.size else None
            padded.load()
            return padded.size == image.size and _equal(padded, image)
    except OSError:
        return False


def _equal(one: Image.Image, other: Image.Image) -> bool:
    width, height = one.size
    strips = ((0, top, width, min(top + _STRIP_ROWS, height)) for top in range(0, height, _STRIP_ROWS))
    return all(
        ImageChops.difference(one.crop(strip), other.crop(strip)).getbbox(alpha_only=False) is None
        for strip in strips
    )
