"""Whether a JPEG's picture is whole, which its decoder does not say.

libjpeg fills what is missing with grey when a scan ends too early and the file still has an end marker, and
only warns, which Pillow does not pass on. A progressive JPEG that has one and ends within its last scan
passes: all of the picture is there, its lower part a bit less exact. One without an end marker must have
every bit. Used by the format `jpeg`, after decoding.
"""

import io
import re
import struct
from itertools import pairwise
from typing import cast

from PIL import Image, ImageChops

from imagebatch_jobrunner.decoder.containers import jpeg_segments
from imagebatch_jobrunner.decoder.containers.jpeg_segments import SOS, Segment

_GREY = frozenset({127, 128})
_CORNER = 2
_STRIP_ROWS = 256
_PADDING = b"\x5a" * 256
"""Bytes that no decoder needs after a whole scan, and that one out of data reads on."""

_LAST_COEFFICIENT = 63
_PROGRESSIVE, _DRI = 0xC2, 0xDD
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_FRAMES = frozenset({0xC0, 0xC1, _PROGRESSIVE})


def is_whole(data: bytes, image: Image.Image) -> bool:
    """Whether the loaded `image` shows all of the picture in `data`."""
    is_progressive, is_open = "progressive" in image.info, jpeg_segments.lacks_end(data)
    if not is_progressive and not is_open and not _ends_grey(image):
        return True
    data = jpeg_segments.with_end(data) if is_open else data
    try:
        found = list(jpeg_segments.segments(data))
    except (ValueError, IndexError):
        return True  # it could be decoded nevertheless
    if is_open:
        return (
            _has_every_scan(found) and _has_every_restart(found) and _is_same_with_padding(data, found, image)
        )
    return _has_every_bit(found) if is_progressive else _is_same_with_padding(data, found, image)


def _has_every_scan(found: list[Segment]) -> bool:
    """Whether no component lacks a scan, and, where it is progressive, no bit."""
    frame = next((one for one in found if one.marker in _FRAMES), None)
    if frame is None:
        return False
    wanted = _samplings(frame).keys()
    seen = {
        component
        for one in found
        if one.marker == SOS
        for component in one.content[1 : 1 + 2 * one.content[0] : 2]
    }
    return wanted <= seen and (frame.marker != _PROGRESSIVE or _has_every_bit(found))


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


def _has_every_restart(found: list[Segment]) -> bool:
    """Whether the last scan has all of its restart markers (T.81, B.2.4.4): padding does not reach behind
    one.
    """
    interval = next((int.from_bytes(one.content, "big") for one in reversed(found) if one.marker == _DRI), 0)
    frame = next(one for one in found if one.marker in _FRAMES)
    if not interval:
        return True
    units = _units(frame, found[-1].content[1 : 1 + 2 * found[-1].content[0] : 2])
    return len(_RESTART.findall(found[-1].scan)) >= -(-units // interval) - 1


def _units(frame: Segment, components: bytes) -> int:
    """How many minimum coded units a scan of these components has (T.81, A.2)."""
    height, width = struct.unpack_from(">HH", frame.content, 1)
    samplings = _samplings(frame)
    most_across, most_down = (max(sampling[axis] for sampling in samplings.values()) for axis in (0, 1))
    across, down = (1, 1) if len(components) > 1 else samplings[components[0]]
    if len(components) == 1:
        width, height = -(-width * across // most_across), -(-height * down // most_down)
        most_across = most_down = 1
    return int(-(-width // (8 * most_across)) * -(-height // (8 * most_down)))


def _samplings(frame: Segment) -> dict[int, tuple[int, int]]:
    """Each component's sampling factors, across and down (T.81, B.2.2)."""
    entries = frame.content[6 : 6 + 3 * frame.content[5]]
    return {entries[at]: (entries[at + 1] >> 4, entries[at + 1] & 15) for at in range(0, len(entries), 3)}


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
