"""Whether a file that can't be decoded is cut off, by what it says of its own length.

Used by `opening`: the decoders of these formats call a missing end by the same name as damage.
"""

import struct
from collections.abc import Callable

from imagebatch_jobrunner.codec import formats
from imagebatch_jobrunner.codec.formats import ImageFormat


def is_cut(data: bytes, image_format: ImageFormat) -> bool:
    """Whether the file's own structure places something behind its end."""
    reaches = _REACHES.get(image_format.name)
    if reaches is None:
        return False
    try:
        return reaches(data) > len(data)
    except (struct.error, IndexError):
        return True  # it ends within its own structure


def _webp(data: bytes) -> int:
    """RFC 9649, 2.4."""
    return int.from_bytes(data[4:8], "little") + 8


def _boxes(data: bytes) -> int:
    """ISO/IEC 14496-12, 4.2: the end of the last top-level box; a size of 0 means up to the end."""
    at = 0
    while at < len(data):
        size = struct.unpack_from(">I", data, at)[0]
        if size == 1:
            size = struct.unpack_from(">Q", data, at + 8)[0]
        if size == 0:
            return len(data)
        at += max(size, 8)
    return at


def _icons(data: bytes) -> int:
    """The end of the last icon, by the directory of the ICO file."""
    count = struct.unpack_from("<H", data, 4)[0]
    entries = [struct.unpack_from("<II", data, 6 + 16 * number + 8) for number in range(count)]
    return max((size + at for size, at in entries), default=0)


def _tiff(data: bytes) -> int:
    """TIFF 6.0, 2: the end of the first directory or of its strips or tiles. BigTIFF is not looked into."""
    order = "<" if data[:2] == b"II" else ">"
    if data[2:4] not in {b"*\0", b"\0*"}:
        return 0
    at = struct.unpack_from(order + "I", data, 4)[0]
    count = struct.unpack_from(order + "H", data, at)[0]
    fields = {
        tag: _numbers(data, order, kind, number, at + 2 + 12 * place + 8)
        for place in range(count)
        for tag, kind, number in [struct.unpack_from(order + "HHI", data, at + 2 + 12 * place)]
        if tag in _PLACES
    }
    ends = [
        start + size
        for starts, sizes in ((273, 279), (324, 325))
        for start, size in zip(fields.get(starts, ()), fields.get(sizes, ()), strict=False)
    ]
    return max(ends, default=0)


_PLACES = frozenset({273, 279, 324, 325})
"""StripOffsets, StripByteCounts, TileOffsets, TileByteCounts."""
_SIZES = {3: "H", 4: "I"}
_IN_PLACE_BYTES = 4


def _numbers(data: bytes, order: str, kind: int, number: int, at: int) -> tuple[int, ...]:
    letter = _SIZES.get(kind)
    if letter is None or number > len(data):
        return ()
    layout = f"{order}{number}{letter}"
    if struct.calcsize(layout) > _IN_PLACE_BYTES:
        at = struct.unpack_from(order + "I", data, at)[0]
    return struct.unpack_from(layout, data, at)


_REACHES: dict[str, Callable[[bytes], int]] = {
    formats.WEBP.name: _webp,
    formats.AVIF.name: _boxes,
    formats.ICO.name: _icons,
    formats.TIFF.name: _tiff,
}
