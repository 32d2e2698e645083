"""The directories of a TIFF file: which pages it holds and what their tags say. Nothing is decoded.

TIFF 6.0 (Adobe, 1992), 2; BigTIFF (libtiff.gitlab.io/libtiff/specification/bigtiff.html); SubIFDs by Adobe
PageMaker 6.0 TIFF Technical Notes, 1. Used by the format `tiff` and by the package `tiff`.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

SUBFILE_TYPE, OLD_SUBFILE_TYPE, WIDTH, LENGTH, BITS, COMPRESSION = 254, 255, 256, 257, 258, 259
PHOTOMETRIC, FILL_ORDER, STRIP_OFFSETS, SAMPLES, STRIP_BYTES, PLANAR = 262, 266, 273, 277, 279, 284
PREDICTOR, COLOUR_MAP, TILE_OFFSETS, TILE_BYTES, SUB_DIRECTORIES = 317, 320, 324, 325, 330
INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, DNG_VERSION = 332, 338, 339, 50706

_LETTERS = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
"""struct's letter for each type of whole numbers."""
_MOST_DIRECTORIES = 1000
_MOST_VALUES = 3 * 65_536
"""Of a colour map of 16 bits, the longest list that is looked at."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag: `at` is where the entry stands, `values_at` where its values do."""

    kind: int
    count: int
    at: int
    values_at: int

    @property
    def values_end(self) -> int:
        return self.values_at + self.count * struct.calcsize(_LETTERS.get(self.kind, "B"))


@dataclass(frozen=True, slots=True)
class Directory:
    """One page. `at` is where it stands in `data`, `end` where its list of tags ends; `order` is struct's."""

    data: bytes
    order: str
    is_big: bool
    at: int
    end: int
    entries: dict[int, Entry]

    def values(self, tag: int) -> tuple[int, ...]:
        """A tag's whole numbers; empty where there are none that can be read."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _LETTERS or entry.count > _MOST_VALUES:
            return ()
        try:
            layout = f"{self.order}{entry.count}{_LETTERS[entry.kind]}"
            return struct.unpack_from(layout, self.data, entry.values_at)
        except struct.error:
            return ()

    def value(self, tag: int, default: int) -> int:
        return next(iter(self.values(tag)), default)

    @property
    def pixels(self) -> int:
        return self.value(WIDTH, 0) * self.value(LENGTH, 0)


def is_big(data: bytes) -> bool:
    """Whether it is a BigTIFF."""
    return data[2:4] in {b"+\0", b"\0+"}


def first(data: bytes) -> Directory | None:
    """The first page; None when the file ends before it."""
    reader = _Reader(data)
    return next(reader.chain(reader.first()), None)


def directories(data: bytes) -> list[Directory]:
    """All that can be read: those of the chain, each followed by its sub-directories."""
    reader = _Reader(data)
    found: dict[int, Directory] = {}
    for one in reader.chain(reader.first()):
        if one.at in found or len(found) >= _MOST_DIRECTORIES:
            break
        found[one.at] = one
        for at in one.values(SUB_DIRECTORIES)[:_MOST_DIRECTORIES]:
            for sub in reader.chain(at):
                if sub.at in found or len(found) >= _MOST_DIRECTORIES:
                    break
                found[sub.at] = sub
    return list(found.values())


def first_offset_at(*, is_big: bool) -> slice:
    """Where the header says where the first directory is."""
    return slice(8, 16) if is_big else slice(4, 8)


class _Reader:
    """Reads directories of a file, in its byte order and offset size."""

    def __init__(self, data: bytes) -> None:
        order = "<" if data[:2] == b"II" else ">"
        self._data, self._order, self._is_big = data, order, is_big(data)
        self._offset = struct.Struct(order + ("Q" if self._is_big else "I"))
        self._count = struct.Struct(order + ("Q" if self._is_big else "H"))
        self._entry = struct.Struct(order + ("HHQ" if self._is_big else "HHI"))

    def first(self) -> int:
        place = self._data[first_offset_at(is_big=self._is_big)]
        return int(self._offset.unpack(place)[0]) if len(place) == self._offset.size else 0

    def chain(self, at: int) -> Iterator[Directory]:
        """The directory there and those that it leads to; may never end in a file that leads in circles."""
        while at:
            try:
                (count,) = self._count.unpack_from(self._data, at)
            except struct.error:
                return
            start, step = at + self._count.size, self._entry.size + self._offset.size
            entries = dict(self._entries(range(start, min(start + count * step, len(self._data)), step)))
            yield Directory(self._data, self._order, self._is_big, at, start + count * step, entries)
            try:
                (at,) = self._offset.unpack_from(self._data, start + count * step)
            except struct.error:
                return

    def _entries(self, places: range) -> "Iterator[tuple[int, Entry]]":
        for at in places:
            try:
                tag, kind, count = self._entry.unpack_from(self._data, at)
                values_at = at + self._entry.size
                if count * struct.calcsize(_LETTERS.get(kind, "B")) > self._offset.size:
                    (values_at,) = self._offset.unpack_from(self._data, values_at)
            except struct.error:
                return
            yield tag, Entry(kind, count, at, values_at)
