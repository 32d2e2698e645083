"""The chunks of a PNG: W3C Recommendation, third edition, 5 and 11. Used by the formats `png` and `ico`."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ANCILLARY = 0x20
_HEADER = struct.Struct(">IIBBxxB")
_HEADER_AT = 16
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The start of the header chunk. `depth` is in bits a channel."""

    width: int
    height: int
    depth: int
    colour_type: int
    interlace: int

    @property
    def bits(self) -> int:
        """A pixel's."""
        return self.depth * _CHANNELS.get(self.colour_type, 1)


def header(data: bytes) -> ImageHeader:
    """Raises struct.error when it is cut."""
    return ImageHeader(*_HEADER.unpack_from(data, _HEADER_AT))


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each chunk's kind and all of its bytes, up to the end chunk. Raises ValueError when one has no end."""
    for kind, start, end in spans(data):
        yield kind, data[start:end]


def spans(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Each chunk's kind, and where its bytes start and end. Raises ValueError as `chunks` does."""
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        length = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            raise ValueError("a chunk has no end")
        yield kind, at, end
        at = end


def before_pixels(data: bytes) -> dict[bytes, bytes]:
    """The contents of the chunks before the picture, the first of each kind, as far as they are there."""
    found: dict[bytes, bytes] = {}
    try:
        for kind, whole in chunks(data):
            if kind in {b"IDAT", b"IEND"}:
                break
            found.setdefault(kind, whole[8:-4])
    except ValueError:
        pass  # a cut file: decoding it will say so
    return found


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def without_damaged_extras(data: bytes) -> bytes:
    """The file without those chunks that a decoder does not need and whose checksum is wrong.

    Browsers ignore these. The file itself when there are none, or when its chunks can't be read.
    """
    try:
        found = list(chunks(data))
    except ValueError:
        return data
    whole = [one for kind, one in found if not (_is_ancillary(kind) and _is_damaged(one))]
    return data if len(whole) == len(found) else SIGNATURE + b"".join(whole)


def _is_ancillary(kind: bytes) -> bool:
    return kind.isalpha() and bool(kind[0] & _ANCILLARY)


def _is_damaged(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big")
