"""Changing what the directory of a TIFF says, in a copy of the file. Used by the format `tiff`."""

import struct

from imagebatch_jobrunner.decoder.containers import tiff_directories as tags
from imagebatch_jobrunner.decoder.containers.tiff_directories import Directory, first_offset_at
from imagebatch_jobrunner.decoder.tiff.layout import Layout

_SHORT = 3
_UNKNOWN_TAG = 65_000
_LETTERS = {1: "B", _SHORT: "H", 4: "I", 16: "Q"}
"""struct's letter for each type of a list that is shortened."""


class Patch:
    """A copy of the file, made only when something is changed."""

    def __init__(self, data: bytes, page: Directory) -> None:
        self._data, self._page = data, page
        self._copy: bytearray | None = None

    @property
    def result(self) -> bytes:
        return self._data if self._copy is None else bytes(self._copy)

    def lead_to_page(self) -> None:
        place = first_offset_at(is_big=self._page.is_big)
        self._bytes[place] = struct.pack(
            self._page.order + ("Q" if self._page.is_big else "I"), self._page.at
        )

    def set(self, tag: int, value: int) -> None:
        """One number in place of another."""
        entry = self._page.entries.get(tag)
        if entry is not None:
            letter = "H" if entry.kind == _SHORT else "I"
            struct.pack_into(self._page.order + letter, self._bytes, entry.values_at, value)

    def drop_samples(self, found: Layout, dropped: int) -> None:
        """Leave out the last planes: their strips, and what is said of them."""
        kept = len(found.bits) - dropped
        self.set(tags.SAMPLES, kept)
        for tag in (tags.BITS, tags.SAMPLE_FORMAT):
            self._shorten(tag, kept)
        for tag in (tags.STRIP_OFFSETS, tags.STRIP_BYTES, tags.TILE_OFFSETS, tags.TILE_BYTES):
            entry = self._page.entries.get(tag)
            if entry is not None:
                self._shorten(tag, entry.count // len(found.bits) * kept)
        if len(found.extra) > dropped:
            self._shorten(tags.EXTRA_SAMPLES, len(found.extra) - dropped)
        else:
            struct.pack_into(
                self._page.order + "H", self._bytes, self._page.entries[tags.EXTRA_SAMPLES].at, _UNKNOWN_TAG
            )

    def _shorten(self, tag: int, count: int) -> None:
        """The first `count` values of a list; they move into the entry where they have room there."""
        entry, values = self._page.entries.get(tag), self._page.values(tag)
        if entry is None or entry.count <= count:
            return
        order = self._page.order
        count_layout, room = ("Q", 8) if self._page.is_big else ("I", 4)
        struct.pack_into(order + count_layout, self._bytes, entry.at + 4, count)
        packed = struct.pack(f"{order}{count}{_LETTERS[entry.kind]}", *values[:count])
        if len(packed) <= room:
            at = entry.at + 4 + room
            self._bytes[at : at + len(packed)] = packed

    @property
    def _bytes(self) -> bytearray:
        if self._copy is None:
            self._copy = bytearray(self._data)
        return self._copy
