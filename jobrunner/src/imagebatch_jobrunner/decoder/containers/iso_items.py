"""The items of an ISO base media file's `meta` box: which are metadata, and where their bytes lie.

ISO/IEC 14496-12:2022, 8.11.3 (`iloc`) and 8.11.6 (`iinf`). Used by the format `avif`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from imagebatch_jobrunner.decoder.containers.iso_boxes import FULL_BOX_BYTES, Box, number, whole_boxes

EXIF, XMP = b"Exif", b"mime"
"""The kinds of items that are metadata."""


@dataclass(frozen=True, slots=True)
class Extent:
    """A part of an item: where it lies in the file."""

    kind: bytes
    start: int
    length: int


def metadata_extents(data: bytes) -> list[Extent]:
    """Where EXIF and XMP lie. Raises ValueError, IndexError or KeyError for a file that is not built so."""
    meta = next((box for box in whole_boxes(data, 0, len(data)) if box.kind == b"meta"), None)
    if meta is None:
        return []
    inside = {box.kind: box for box in whole_boxes(data, meta.start + FULL_BOX_BYTES, meta.end)}
    kinds = _metadata_items(data, inside[b"iinf"]) if b"iinf" in inside else {}
    if not kinds:
        return []
    base = inside[b"idat"].start if b"idat" in inside else 0
    return [
        Extent(kinds[item], start, length)
        for item, start, length in _locations(data, inside[b"iloc"], base)
        if item in kinds
    ]


def _metadata_items(data: bytes, iinf: Box) -> dict[int, bytes]:
    """The ids of EXIF and XMP items, with their kind."""
    count_bytes = 2 if data[iinf.start] == 0 else 4
    found = {}
    for box in whole_boxes(data, iinf.start + FULL_BOX_BYTES + count_bytes, iinf.end):
        id_bytes = 4 if data[box.start] >= 3 else 2
        at = box.start + FULL_BOX_BYTES
        kind = data[at + id_bytes + 2 : at + id_bytes + 6]
        if kind in {EXIF, XMP}:
            found[number(data, at, id_bytes)] = kind
    return found


def _locations(data: bytes, iloc: Box, idat: int) -> "Iterator[tuple[int, int, int]]":
    """Of every extent: its item's id, its place in the file and its length."""
    version = data[iloc.start]
    sizes = number(data, iloc.start + FULL_BOX_BYTES, 2)
    offset_bytes, length_bytes, base_bytes, index_bytes = (sizes >> shift & 0xF for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    reader = _Reader(data, iloc.start + FULL_BOX_BYTES + 2)
    for _ in range(reader.next(wide)):
        item = reader.next(wide)
        construction = reader.next(2) & 0xF if version else 0
        reader.next(2)
        base = reader.next(base_bytes) + (idat if construction == 1 else 0)
        for _ in range(reader.next(2)):
            reader.next(index_bytes if version else 0)
            start = base + reader.next(offset_bytes)
            yield item, start, reader.next(length_bytes)


class _Reader:
    """Big-endian numbers, one after the other."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def next(self, size: int) -> int:
        self._at += size
        return number(self._data, self._at - size, size)
