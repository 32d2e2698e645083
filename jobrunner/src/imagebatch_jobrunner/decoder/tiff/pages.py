"""The page of a TIFF file that is its picture.

A thumbnail or a transparency mask is none, and neither is a camera's raw mosaic: of a raw file its preview
is taken where it has (nearly) all the pixels. Used by the format `tiff`.
"""

from imagebatch_jobrunner.decoder.containers import tiff_directories as tags
from imagebatch_jobrunner.decoder.containers.tiff_directories import Directory, directories
from imagebatch_jobrunner.decoder.errors import camera_raw, rare
from imagebatch_jobrunner.decoder.tiff.layout import CFA, LINEAR_RAW, MASK, layout, refusal

_REDUCED, _MASK_FLAG, _OLD_REDUCED = 1, 4, 2
_SAME_SIZE = 0.9
"""Pages that differ by less are those of one document, whose first one is shown."""
_NEARLY_FULL = 0.8
"""How many of a mosaic's pixels a preview has that shows all of it: the sensor's edges are cut off."""
_CANON_RAW = b"CR"


def chosen(data: bytes) -> Directory | None:
    """The page to decode; None where no directory can be read.

    Raises CodecError `unsupported_format` for a camera's raw file without a full preview, and for a page
    of a layout that is not decoded.
    """
    if data[8:10] == _CANON_RAW:
        raise camera_raw()  # its raw page does not say its size, so that no preview can be compared with it
    pages = [one for one in directories(data) if one.pixels and not _is_mask(one)]
    if not pages:
        return None
    page = _preview(pages) if _is_raw(pages) else _largest(pages)
    rarity = refusal(layout(page))
    if rarity is not None:
        raise rare("tiff", rarity)
    return page


def count(data: bytes) -> int:
    """How many pages there are, with thumbnails and without masks."""
    return sum(1 for one in directories(data) if one.pixels and not _is_mask(one))


def _is_mask(page: Directory) -> bool:
    kind = page.value(tags.SUBFILE_TYPE, 0)
    return bool(kind & _MASK_FLAG) or (kind != 0 and page.value(tags.PHOTOMETRIC, 0) == MASK)


def _is_sensor_data(page: Directory) -> bool:
    return page.value(tags.PHOTOMETRIC, 0) in {CFA, LINEAR_RAW}


def _is_raw(pages: list[Directory]) -> bool:
    """Whether it is a camera's raw file: a DNG or one of the makers' own."""
    return any(tags.DNG_VERSION in page.entries or _is_sensor_data(page) for page in pages)


def _preview(pages: list[Directory]) -> Directory:
    """The largest picture of a raw file, unless it is much smaller than the raw data."""
    pictures = [one for one in pages if not _is_sensor_data(one) and refusal(layout(one)) is None]
    full = max(one.pixels for one in pages)
    largest = max(pictures, key=lambda one: one.pixels, default=None)
    if largest is None or largest.pixels < full * _NEARLY_FULL:
        raise camera_raw()
    return largest


def _largest(pages: list[Directory]) -> Directory:
    """The first one of those that are (about) as large as the largest, thumbnails apart."""
    whole = [one for one in pages if not _is_reduced(one)] or pages
    full = max(one.pixels for one in whole)
    return next(one for one in whole if one.pixels >= full * _SAME_SIZE)


def _is_reduced(page: Directory) -> bool:
    """TIFF 6.0, 8: NewSubfileType, bit 0; the older SubfileType, 2."""
    is_reduced = bool(page.value(tags.SUBFILE_TYPE, 0) & _REDUCED)
    return is_reduced or page.value(tags.OLD_SUBFILE_TYPE, 1) == _OLD_REDUCED
