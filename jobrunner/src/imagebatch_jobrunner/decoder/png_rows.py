"""The pixels of usual PNGs, strip by strip: inflated by zlib, their filters undone in Rust. Used by the
format `png`.

It takes 60% of the time that Pillow takes, most of which goes to the filters. What is in any way unusual or
wrong is left to Pillow, which knows the other kinds and names the damage.
"""

import zlib
from collections.abc import Iterator

from PIL import Image

from imagebatch_jobrunner.decoder import pixels
from imagebatch_jobrunner.decoder.containers import png_chunks

_MODES = {0: ("L", 1), 2: ("RGB", 3), 4: ("LA", 2), 6: ("RGBA", 4)}
"""By colour type: Pillow's mode, and the bytes of a pixel of 8 bits a channel."""

_STRIP_BYTES = 256 * 1024
_PIECE_BYTES = 64 * 1024
"""What zlib is given at once: what it leaves, it copies."""


def decoded(data: bytes) -> Image.Image | None:
    """The picture of a whole, undamaged file with 8 bits a channel, neither interlaced nor animated; None
    for all others, and where there is no library of our own.
    """
    if not pixels.is_available():
        return None
    try:
        return _decoded(data)
    except (ValueError, zlib.error, StopIteration):
        return None


def _decoded(data: bytes) -> Image.Image | None:
    header = png_chunks.header(data)
    if header.depth != 8 or header.interlace or header.colour_type not in _MODES:
        return None
    mode, pixel_bytes = _MODES[header.colour_type]
    row_bytes = header.width * pixel_bytes
    rows = max(1, min(header.height, _STRIP_BYTES // (row_bytes + 1)))
    strip = bytearray((rows + 1) * row_bytes)
    inflated = _Inflated(_contents(data))
    image = Image.new(mode, (header.width, header.height))
    for top in range(0, header.height, rows):
        if top + rows > header.height:
            rows = header.height - top
            strip = strip[: (rows + 1) * row_bytes]
        filtered = inflated.take(rows * (row_bytes + 1))
        if not pixels.undo_filters(filtered, strip, row_bytes, pixel_bytes):
            return None
        part = Image.frombuffer(mode, (header.width, rows), strip[row_bytes:], "raw", mode, 0, 1)
        image.paste(part, (0, top))
        strip[:row_bytes] = strip[-row_bytes:]
    return image if inflated.has_ended() else None


def _contents(data: bytes) -> Iterator[memoryview]:
    """What the image data chunks hold, in pieces. Raises ValueError for a file that Pillow should judge."""
    view, kinds = memoryview(data), [b""]
    for kind, start, end in png_chunks.spans(data):
        if kind == b"acTL" or (kind == b"IDAT" and kinds[-1] != b"IDAT" and b"IDAT" in kinds):
            raise ValueError("it is animated, or its image data is in two places")
        kinds.append(kind)
        if kind == b"IDAT":
            if zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
                raise ValueError("a checksum is wrong")
            for at in range(start + 8, end - 4, _PIECE_BYTES):
                yield view[at : min(at + _PIECE_BYTES, end - 4)]


class _Inflated:
    """What zlib makes of pieces, in the lengths that are asked for."""

    def __init__(self, pieces: Iterator[memoryview]) -> None:
        self._pieces = pieces
        self._zlib = zlib.decompressobj()
        self._rest: bytes | memoryview = b""

    def take(self, size: int) -> bytes:
        """Raises StopIteration when there is less."""
        parts = [self._some(size)]
        while (missing := size - sum(map(len, parts))) > 0:
            parts.append(self._some(missing))
        return b"".join(parts)

    def has_ended(self) -> bool:
        """Whether nothing is left, and the checksum over all of it is right. Raises what a piece does."""
        while not self._zlib.eof:
            if self._some(1):
                return False
        return not self._zlib.unused_data and next(self._pieces, None) is None

    def _some(self, most: int) -> bytes:
        found = self._zlib.decompress(self._rest or next(self._pieces), most)
        self._rest = self._zlib.unconsumed_tail
        return found
