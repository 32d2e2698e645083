"""TIFF: the picture of a file, made readable for its decoder.

Pillow decodes pages of the main chain alone, misreads some layouts and refuses others without need. So the
header is made to lead to the page, and its tags are mended, in a copy of the file.
"""

import io

from PIL import Image, ImageChops, ImagePalette, TiffImagePlugin

from imagebatch_jobrunner.decoder import pillow_state
from imagebatch_jobrunner.decoder.containers import tiff_directories as tags
from imagebatch_jobrunner.decoder.containers.tiff_directories import Directory, directories, first, is_big
from imagebatch_jobrunner.decoder.formats.format import Format, Opened, begins, unchanged
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
from imagebatch_jobrunner.decoder.tiff.patch import Patch

_SHORT, _LONG = 3, 4
_STRIPS, _TILES = (tags.STRIP_OFFSETS, tags.STRIP_BYTES), (tags.TILE_OFFSETS, tags.TILE_BYTES)
_EIGHT_BITS = 8


def _open(data: bytes) -> Opened:
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
    """The file, or a copy that begins with that page and describes it in a way that Pillow reads rightly."""
    patch = Patch(data, page)
    if directories(data)[0].at != page.at:
        patch.lead_to_page()
    if found.is_separate and found.droppable:
        patch.drop_samples(found, found.droppable)
    if _is_misread_negative(found):
        patch.set(tags.PHOTOMETRIC, BLACK_IS_ZERO)
    return patch.result


def _mend_palette(image: Image.Image, page: Directory) -> None:
    """A colour map whose writer meant 8 bits though TIFF says 16; libtiff goes by the same sign."""
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


def _is_deep(_data: bytes, image: Image.Image) -> bool:
    bits = getattr(image, "tag_v2", {}).get(tags.BITS, (_EIGHT_BITS,))
    return bool(max(bits) > _EIGHT_BITS)


def _end(data: bytes) -> int:
    """Of the first directory, or of its strips or tiles (TIFF 6.0, 2). BigTIFF is not looked into."""
    if is_big(data):
        return 0
    page = first(data)
    if page is None:
        return len(data) + 1
    listed = [tag for pair in (_STRIPS, _TILES) for tag in pair if _is_list_of_places(page, tag)]
    ends = [page.end, *(page.entries[tag].values_end for tag in listed)]
    for starts, sizes in (_STRIPS, _TILES):
        if starts in listed and sizes in listed:
            pairs = zip(page.values(starts), page.values(sizes), strict=False)
            ends += [start + size for start, size in pairs]
    return max(ends)


def _is_list_of_places(page: Directory, tag: int) -> bool:
    entry = page.entries.get(tag)
    return entry is not None and entry.kind in {_SHORT, _LONG} and entry.count <= len(page.data)


def _has_more_pictures(data: bytes) -> bool:
    return pages.count(data) > 1


FORMAT = Format(
    name="tiff",
    matches=begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    open=_open,
    is_deep=_is_deep,
    end=_end,
    has_more_pictures=_has_more_pictures,
)
