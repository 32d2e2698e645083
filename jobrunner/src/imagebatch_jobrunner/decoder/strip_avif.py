"""Blanking the EXIF and XMP of an AVIF file in place.

An item can't be cut out without moving every offset behind it, so its bytes are overwritten: the file
keeps its length and its picture, and tells nothing. The rotation is a property of the picture (`irot`,
`imir`) and stays. Boxes by ISO/IEC 14496-12:2022, 8.11.3 (`iloc`) and 8.11.6 (`iinf`); the EXIF item's
payload by ISO/IEC 23008-12, A.2.1.
"""

from collections.abc import Iterator
from dataclasses import dataclass

_EMPTY_EXIF = b"\0\0\0\0" + b"MM\0*" + b"\0\0\0\x08" + b"\0\0" + b"\0\0\0\0"
_FULL_BOX = 4


@dataclass(frozen=True, slots=True)
class _Box:
    """A box's kind and where its content lies."""

    kind: bytes
    start: int
    end: int


def stripped(data: bytes, _orientation: int) -> bytes:
    """Raises ValueError or IndexError for a file that is not built as the standard says."""
    meta = next((box for box in _boxes(data, 0, len(data)) if box.kind == b"meta"), None)
    if meta is None:
        return data
    inside = {box.kind: box for box in _boxes(data, meta.start + _FULL_BOX, meta.end)}
    kinds = _metadata_items(data, inside[b"iinf"]) if b"iinf" in inside else {}
    if not kinds:
        return data
    base = inside[b"idat"].start if b"idat" in inside else 0
    blanked = bytearray(data)
    for extent in _extents(data, inside[b"iloc"], base):
        if extent.item in kinds:
            _blank(blanked, extent, kinds[extent.item])
    return bytes(blanked)


def _boxes(data: bytes, at: int, end: int) -> Iterator[_Box]:
    while at + 8 <= end:
        size, header = _number(data, at, 4), 8
        if size == 1:
            size, header = _number(data, at + 8, 8), 16
        stop = at + size if size else end
        if stop > end or stop < at + header:
            raise ValueError("a box has no end")
        yield _Box(data[at + 4 : at + 8], at + header, stop)
        at = stop


def _metadata_items(data: bytes, iinf: _Box) -> dict[int, bytes]:
    """The ids of EXIF and XMP items, with their kind."""
    count_bytes = 2 if data[iinf.start] == 0 else 4
    found = {}
    for box in _boxes(data, iinf.start + _FULL_BOX + count_bytes, iinf.end):
        id_bytes = 4 if data[box.start] >= 3 else 2
        at = box.start + _FULL_BOX
        kind = data[at + id_bytes + 2 : at + id_bytes + 6]
        if kind in {b"Exif", b"mime"}:
            found[_number(data, at, id_bytes)] = kind
    return found


@dataclass(frozen=True, slots=True)
class _Extent:
    item: int
    start: int
    length: int


def _extents(data: bytes, iloc: _Box, idat: int) -> Iterator[_Extent]:
    version = data[iloc.start]
    sizes = _number(data, iloc.start + _FULL_BOX, 2)
    offset_bytes, length_bytes, base_bytes, index_bytes = (sizes >> shift & 0xF for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    reader = _Reader(data, iloc.start + _FULL_BOX + 2)
    for _ in range(reader.next(wide)):
        item = reader.next(wide)
        construction = reader.next(2) & 0xF if version else 0
        reader.next(2)
        base = reader.next(base_bytes) + (idat if construction == 1 else 0)
        for _ in range(reader.next(2)):
            reader.next(index_bytes if version else 0)
            start = base + reader.next(offset_bytes)
            yield _Extent(item, start, reader.next(length_bytes))


class _Reader:
    """Big-endian numbers, one after the other."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def next(self, size: int) -> int:
        self._at += size
        return _number(self._data, self._at - size, size)


def _number(data: bytes, at: int, size: int) -> int:
    if at + size > len(data):
        raise ValueError("a box ends too early")
    return int.from_bytes(data[at : at + size], "big")


def _blank(data: bytearray, extent: _Extent, kind: bytes) -> None:
    if extent.start + extent.length > len(data):
        raise ValueError("an item lies outside the file")
    filler = b" " if kind == b"mime" else b"\0"
    text = _EMPTY_EXIF if kind == b"Exif" and extent.length >= len(_EMPTY_EXIF) else b""
    data[extent.start : extent.start + extent.length] = text + filler * (extent.length - len(text))
