"""JPEG: ITU-T T.81 (1992); the APP segments by JFIF 1.02, Adobe TN 5116 and ICC.1:2010, B.4."""

import io

from PIL import (
    Image,
    JpegImagePlugin,
    MpoImagePlugin,  # noqa: F401 - else it is loaded with the first file of several pictures
)

from imagebatch_jobrunner.decoder import metadata, pillow_state, quality
from imagebatch_jobrunner.decoder.containers import jpeg_segments
from imagebatch_jobrunner.decoder.containers.jpeg_segments import APP0, APP1, APP2, APP14, APP15, COM, SOS
from imagebatch_jobrunner.decoder.errors import truncated
from imagebatch_jobrunner.decoder.formats.encoder import EncodeOptions, Encoder, save
from imagebatch_jobrunner.decoder.formats.format import Format, Opened, Parts, Size, begins, opener
from imagebatch_jobrunner.decoder.jpeg import completeness
from imagebatch_jobrunner.decoder.picture import Picture
from imagebatch_jobrunner.decoder.quality import SourceQuality

_DRAFT_MARGIN = 1.5
"""A JPEG is decoded at half, quarter or eighth size only if that leaves half as many again to resample."""

_SUBSAMPLING_420 = 2
_JFIF_BARE = 14
"""How long a JFIF segment is without its thumbnail."""

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

_open_whole = opener(JpegImagePlugin.jpeg_factory)


def _open(data: bytes) -> Opened:
    """Pillow's decoder wants an end marker; whether anything else is missing `completeness` finds out."""
    return _open_whole(jpeg_segments.with_end(data) if jpeg_segments.lacks_end(data) else data)


def _quality(_data: bytes, image: Image.Image) -> SourceQuality:
    return quality.estimate(getattr(image, "quantization", {}))


def _load(image: Image.Image, data: bytes, reduced_to: Size | None) -> None:
    """The decoder scales by 2, 4 or 8 while it decodes, which is both quicker and as good."""
    if reduced_to is not None:
        width, height = reduced_to
        image.draft(None, (round(width * _DRAFT_MARGIN), round(height * _DRAFT_MARGIN)))
    image.load()
    if not completeness.is_whole(data, image):
        raise truncated()


def _strip(data: bytes, orientation: int) -> Parts:
    """What follows the end of the picture goes too, be it a second picture."""
    parts: Parts = [b"\xff\xd8"]
    if orientation != 1:
        parts.append(jpeg_segments.segment(APP1, b"Exif\0\0" + metadata.minimal_exif(orientation)))
    for one in jpeg_segments.segments(data):
        if one.marker == SOS or _is_kept(one.marker, one.content):
            content = _without_thumbnail(one.content) if one.marker == APP0 else one.content
            parts += (jpeg_segments.segment(one.marker, content), one.scan)
    return [*parts, b"\xff\xd9"]


def _is_kept(marker: int, content: bytes) -> bool:
    if marker == APP0:
        return content.startswith(b"JFIF\0")
    if marker == APP2:
        return content.startswith(b"ICC_PROFILE\0")
    if marker == APP14:
        return content.startswith(b"Adobe")
    return not (APP1 <= marker <= APP15 or marker == COM)


def _without_thumbnail(jfif: bytes) -> bytes:
    """The thumbnail may show what was cropped away."""
    return jfif[: _JFIF_BARE - 2] + b"\0\0" if len(jfif) > _JFIF_BARE else jfif


def _has_gain_map(data: bytes) -> bool:
    head = jpeg_segments.before_scans(data)
    searched = data if _MORE_PICTURES in head else head
    return any(name in searched for name in _GAIN_MAPS)


def _has_more_pictures(data: bytes) -> bool:
    if _MORE_PICTURES not in jpeg_segments.before_scans(data):
        return False
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        return int(getattr(image, "n_frames", 1)) > 1


def _encode(picture: Picture, options: EncodeOptions) -> bytes:
    # For these libjpeg needs the whole file in one buffer, and Pillow's guess of it is too small for little
    # pictures with much detail ("broken data stream").
    is_in_one_piece = options.optimize or options.progressive
    with pillow_state.block_of(4 * picture.first.width * picture.first.height if is_in_one_piece else 0):
        return save(
            picture,
            "JPEG",
            quality=options.quality,
            subsampling=_SUBSAMPLING_420 if options.subsampling is None else options.subsampling,
            progressive=options.progressive,
            optimize=options.optimize,
            exif=picture.metadata.exif,
            xmp=picture.metadata.xmp,
        )


FORMAT = Format(
    name="jpeg",
    matches=begins(b"\xff\xd8\xff"),
    open=_open,
    quality=_quality,
    is_streamable=True,
    load=_load,
    strip=_strip,
    has_gain_map=_has_gain_map,
    has_more_pictures=_has_more_pictures,
    encoder=Encoder(encode=_encode, has_alpha=False),
)
