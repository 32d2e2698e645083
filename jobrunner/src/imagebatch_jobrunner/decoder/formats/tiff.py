"""Opening the picture of a TIFF file so that its decoder reads it rightly.

Pillow decodes pages of the main chain alone, misreads some layouts and refuses others without need. So the
header is made to lead to the page, and its tags are mended, in a copy of the file. Used by `opening`.
"""

import io
import struct

from PIL import Image, ImageChops, ImagePalette, TiffImagePlugin

from imagebatch_jobrunner.decoder import pillow_state
from imagebatch_jobrunner.decoder.containers import tiff_directories as tags
from imagebatch_jobrunner.decoder.containers.tiff_directories import Directory, directories, first_offset_at
from imagebatch_jobrunner.decoder.opened import Opened, unchanged
from imagebatch_jobrunner.decoder.tiff import pages
from imagebatch_jobrunner.decoder.tiff.layout import (
    BLACK_IS_ZERO,
    PALETTE,
    RAW,
    WHITE_IS_ZERO,
    YCBCR,
    Layout,
    layout,
)  # fmt: skip

_SHORT = 3
_UNKNOWN_TAG = 65_000


def opened(data: bytes) -> Opened:
    """Raises CodecError `unsupported_format`, and whatever Pillow does for damaged files."""
    page = pages.chosen(data)
    if page is None:
        return Opened(TiffImagePlugin.TiffImageFile(io.BytesIO(data)), unchanged)
    found = layout(page)
    is_negative = _is_misread_negative(found)
    with pillow_state.raw_tiff_through_libtiff(wanted=_is_misread_raw(found)):
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(_mended(data, page, found)))
    if found.photometric == PALETTE:
        _mend_palette(image, page)
    return Opened(image, _inverted if is_negative else unchanged)


def _is_misread_negative(found: Layout) -> bool:
    """Pillow reads such samples as if black were 0, or not at all."""
    return found.photometric == WHITE_IS_ZERO and (found.bits[0] > 8 or len(found.bits) > 1)


def _is_misread_raw(found: Layout) -> bool:
    """Uncompressed layouts that Pillow's own reader takes for others, and libtiff does not."""
    is_deep_or_mixed = found.bits[0] > 8 or found.photometric == YCBCR or bool(found.extra)
    is_rare = found.fill_order != 1 or found.photometric == YCBCR or (found.is_separate and is_deep_or_mixed)
    return found.compression == RAW and is_rare


def _mended(data: bytes, page: Directory, found: Layout) -> bytes:
    """The file, or a copy whose first page is that one and says what it is as Pillow takes it rightly."""
    patch = _Patch(data, page)
    if directories(data)[0].at != page.at:
        patch.lead_to_page()
    if found.is_separate and found.droppable:
        patch.drop_samples(found, found.droppable)
    if _is_misread_negative(found):
        patch.set(tags.PHOTOMETRIC, BLACK_IS_ZERO)
    return patch.result


class _Patch:
    """A copy of the file, made only when something is changed."""

    def __init__(self, data: bytes, page: Directory) -> None:
        self._data, self._page = data, page
        self._copy: bytearray | None = None

    @property
    def result(self) -> bytes:
        return self._data if self._copy is None else bytes(self._copy)

    def lead_to_page(self) -> None:
        place = first_offset_at(self._page.is_big)
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
        letters = {1: "B", 3: "H", 4: "I", 16: "Q"}
        packed = struct.pack(f"{order}{count}{letters[entry.kind]}", *values[:count])
        if len(packed) <= room:
            at = entry.at + 4 + room
            self._bytes[at : at + len(packed)] = packed

    @property
    def _bytes(self) -> bytearray:
        if self._copy is None:
            self._copy = bytearray(self._data)
        return self._copy


def _mend_palette(image: Image.Image, page: Directory) -> None:
    """A colour map whose writer meant 8 bits though TIFF says 16; libtiff tells it by the same sign."""
    colours = page.values(tags.COLOUR_MAP)
    if colours and max(colours) < 256:
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))


def _inverted(image: Image.Image) -> Image.Image:
    """White for black, in a picture of grey with or without alpha."""
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value * (-1 / 257) + 255).convert("L")
    if image.mode == "LA":
        return Image.merge("LA", (ImageChops.invert(image.getchannel("L")), image.getchannel("A")))
    return ImageChops.invert(image)
