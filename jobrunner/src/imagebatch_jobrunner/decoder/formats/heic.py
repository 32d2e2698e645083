"""HEIC, the pictures of phones: HEVC (ISO/IEC 23008-2) within HEIF (ISO/IEC 23008-12).

Decoded by libheif and libde265 (pi-heif), which turn the picture as the file says (`irot`, `imir`, `clap`).
Browsers do not show it, so it is never kept. Its library is loaded when the first such file comes: most
shards have none.
"""

import io
from functools import cache
from types import ModuleType
from typing import cast

from PIL import Image

from imagebatch_jobrunner.decoder import quality
from imagebatch_jobrunner.decoder.colour.spaces import ColourSpace, by_h273
from imagebatch_jobrunner.decoder.containers import iso_boxes
from imagebatch_jobrunner.decoder.containers.iso_boxes import HEIC_BRANDS
from imagebatch_jobrunner.decoder.errors import corrupt
from imagebatch_jobrunner.decoder.formats.format import Format, Opened, Size
from imagebatch_jobrunner.decoder.quality import SourceQuality

_GAIN_MAPS = (b"hdrgainmap", b"tmap")
"""Of Apple's auxiliary picture (urn:com:apple:photo:2020:aux:hdrgainmap), and of ISO 21496-1's item."""


@cache
def _library() -> ModuleType:
    """pi-heif, which decodes in one thread and leaves thumbnails, depth maps and gain maps alone."""
    import pi_heif  # noqa: PLC0415 - only where there is such a file
    from pi_heif import options  # noqa: PLC0415

    options.DECODE_THREADS = 1
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    return cast(ModuleType, pi_heif)


def _open(data: bytes) -> Opened:
    return Opened(_library().HeifImageFile(io.BytesIO(data)))


def _load(image: Image.Image, _data: bytes, _reduced_to: Size | None) -> None:
    """Raises CodecError `corrupt` for a picture of another size than its header says."""
    size = image.size
    image.load()
    if image.size != size:
        raise corrupt("its size is damaged")


def _matches(head: bytes) -> bool:
    return bool(HEIC_BRANDS.intersection(iso_boxes.brands(head)[:1]))


def _quality(_data: bytes, _image: Image.Image) -> SourceQuality:
    return quality.ASSUMED


def _colour_space(data: bytes, has_profile: bool) -> ColourSpace | None:
    """By the nclx box, where there is no ICC profile; the decoder gives full range."""
    found = None if has_profile else iso_boxes.nclx(data)
    return None if found is None else by_h273(*found, "heic", is_full=True)


def _is_deep(_data: bytes, image: Image.Image) -> bool:
    return int(image.info.get("bit_depth", 8)) > 8


def _has_gain_map(data: bytes) -> bool:
    meta = b"".join(iso_boxes.contents(data, (b"meta",)))
    return any(kind in meta for kind in _GAIN_MAPS)


def _has_more_pictures(data: bytes) -> bool:
    return len(_library().HeifFile(io.BytesIO(data))) > 1


FORMAT = Format(
    name="heic",
    matches=_matches,
    open=_open,
    quality=_quality,
    colour_space=_colour_space,
    is_deep=_is_deep,
    load=_load,
    end=iso_boxes.end,
    decoding_bytes=14,
    may_be_kept=False,
    has_gain_map=_has_gain_map,
    has_more_pictures=_has_more_pictures,
)
