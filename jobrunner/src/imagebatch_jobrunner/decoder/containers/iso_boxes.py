"""The boxes of an ISO base media file, such as AVIF and HEIC: ISO/IEC 14496-12:2022, 4.2. Used by these
formats, and by `recognise`.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_HEADER_BYTES, _LONG_HEADER_BYTES = 8, 16
FULL_BOX_BYTES = 4
"""Version and flags, before the content of a full box."""


@dataclass(frozen=True, slots=True)
class Box:
    """A box's kind and where its content lies, by its own size: that may be more than there is, or too
    little.
    """

    kind: bytes
    start: int
    end: int
    next: int


def boxes(data: bytes, at: int, end: int) -> Iterator[Box]:
    """The boxes that begin there, one after the other. A size of 0 means up to the end."""
    while at + _HEADER_BYTES <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + _HEADER_BYTES
        if size == 1:
            start = at + _LONG_HEADER_BYTES
            size = struct.unpack_from(">Q", data, at + 8)[0] if start <= len(data) else _LONG_HEADER_BYTES
        stop = at + size if size else end
        at = max(stop, at + _HEADER_BYTES)
        yield Box(kind, start, stop, at)


def whole_boxes(data: bytes, at: int, end: int) -> Iterator[Box]:
    """The same. Raises ValueError at a box that does not end where it may."""
    for box in boxes(data, at, end):
        if box.end > end or box.end < box.start:
            raise ValueError("a box has no end")
        yield box


def contents(data: bytes, path: tuple[bytes, ...]) -> Iterator[bytes]:
    """The contents of every box on that path, as far as they are there."""
    if not path:
        yield data
        return
    for box in boxes(data, 0, len(data)):
        if box.end < box.start:
            return
        if box.kind == path[0]:
            start = box.start + (FULL_BOX_BYTES if box.kind == b"meta" else 0)
            yield from contents(data[start : box.end], path[1:])


_COLR = (b"meta", b"iprp", b"ipco", b"colr")


def nclx(data: bytes) -> tuple[int, int] | None:
    """The colour primaries and the transfer of the first nclx box (ISO/IEC 14496-12, 12.1.5), as numbers of
    ITU-T H.273; None when there is none.
    """
    for content in contents(data, _COLR):
        if content[:4] == b"nclx" and len(content) >= 10:
            primaries, transfer = struct.unpack_from(">HH", content, 4)
            return primaries, transfer
    return None


def end(data: bytes) -> int:
    """Where the last box at the top ends; behind the data when that box's header is cut."""
    at = 0
    for box in boxes(data, 0, len(data)):
        at = box.next
    return at if at >= len(data) else at + _HEADER_BYTES


def brands(head: bytes) -> list[bytes]:
    """The brands of the file that begins so: the major one, then the compatible ones. None of other files."""
    if head[4:8] != b"ftyp":
        return []
    stop = min(int.from_bytes(head[:4], "big"), len(head))
    return [head[8:12], *(head[at : at + 4] for at in range(16, stop, 4))]


def number(data: bytes, at: int, size: int) -> int:
    """Raises ValueError when it is not all there."""
    if at + size > len(data):
        raise ValueError("a box ends too early")
    return int.from_bytes(data[at : at + size], "big")
