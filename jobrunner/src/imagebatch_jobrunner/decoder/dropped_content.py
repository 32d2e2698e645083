"""What a file holds beside the one picture that is shown: more pages, a gain map, deeper colours.

Used by `compress`, which tells what of it a result has no more.
"""

import io

from PIL import Image

from imagebatch_jobrunner.codec import formats
from imagebatch_jobrunner.codec.formats import ImageFormat
from imagebatch_jobrunner.decoder.containers import jpeg_segments
from imagebatch_jobrunner.decoder.formats import ico
from imagebatch_jobrunner.decoder.tiff import pages

PAGES = "pages_dropped"
GAIN_MAP = "gain_map_dropped"

_GAIN_MAPS = (
    b"http://ns.adobe.com/hdr-gain-map/1.0/",
    b"urn:iso:std:iso:ts:21496:-1",
    b"urn:com:apple:photo:2020:aux:hdrgainmap",
)
"""How Ultra HDR (Android), ISO 21496-1 and Apple announce a gain map, in the metadata of a JPEG's first
picture or of a further one.
"""

_MORE_PICTURES = b"MPF\0"
"""The index of all pictures of a JPEG file, before the scans of the first (CIPA DC-007, 5.1)."""

_FTYP_BYTES = 64
_BITS_PER_SAMPLE = 258
_PNG_DEPTH_AT = 24
_EIGHT_BITS = 8


def lost(before: bytes, after: bytes, image_format: ImageFormat) -> tuple[str, ...]:
    """What `before`, a file of that format, held and the result `after` does not."""
    if after is before:
        return ()
    dropped = []
    if has_gain_map(before, image_format) and not has_gain_map(after, image_format):
        dropped.append(GAIN_MAP)
    elif has_more_pages(before, image_format) and not has_more_pages(after, image_format):
        dropped.append(PAGES)
    return tuple(dropped)


def has_gain_map(data: bytes, image_format: ImageFormat) -> bool:
    if image_format == formats.AVIF:
        return b"tmap" in data[:_FTYP_BYTES]
    if image_format != formats.JPEG:
        return False
    head = jpeg_segments.before_scans(data)
    told_in = data if _MORE_PICTURES in head else head
    return any(name in told_in for name in _GAIN_MAPS)


def has_more_pages(data: bytes, image_format: ImageFormat) -> bool:
    """Whether there are further pages of a TIFF, pictures of an MPO, layers of a PSD or sizes of an icon."""
    if image_format not in {formats.TIFF, formats.JPEG, formats.PSD, formats.ICO}:
        return False
    if image_format == formats.TIFF:
        return pages.count(data) > 1
    if image_format == formats.JPEG and _MORE_PICTURES not in jpeg_segments.before_scans(data):
        return False
    try:
        if image_format == formats.ICO:
            return len(ico.entries(data)) > 1
        with Image.open(io.BytesIO(data), formats=[image_format.pillow]) as image:
            return int(getattr(image, "n_frames", 1)) > 1
    except Exception:  # noqa: BLE001 - the first page is decoded; a damaged second one is none
        return False


def is_deep(data: bytes, image: Image.Image, image_format: ImageFormat) -> bool:
    """Whether the opened image has more than the 8 bits a channel that its decoder gives."""
    if image_format == formats.PNG:
        return data[_PNG_DEPTH_AT] > _EIGHT_BITS
    if image_format == formats.TIFF:
        bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (_EIGHT_BITS,))
        return bool(max(bits) > _EIGHT_BITS)
    return False
