"""WebP: RFC 9649."""

from PIL import Image, WebPImagePlugin

from imagebatch_jobrunner.decoder import metadata, quality
from imagebatch_jobrunner.decoder.containers import riff_chunks
from imagebatch_jobrunner.decoder.formats.encoder import EncodeOptions, Encoder, animation, save
from imagebatch_jobrunner.decoder.formats.format import Format, Parts, opener
from imagebatch_jobrunner.decoder.picture import Picture
from imagebatch_jobrunner.decoder.quality import SourceQuality

_FLAGS_AT = 20
"""Where an extended file (VP8X) has its flags (2.7.1)."""

_ALPHA_FLAG, _EXIF_FLAG, _XMP_FLAG = 0x10, 0x08, 0x04
_KEPT = frozenset({b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"})


def _matches(head: bytes) -> bool:
    return head.startswith(b"RIFF") and head[8:12] == b"WEBP"


def _quality(data: bytes, _image: Image.Image) -> SourceQuality:
    return quality.LOSSLESS if b"VP8L" in data[12:64] else quality.ASSUMED


def _strip(data: bytes, orientation: int) -> Parts:
    parts = [riff_chunks.chunk(kind, content) for kind, content in riff_chunks.chunks(data) if kind in _KEPT]
    if parts and parts[0].startswith(b"VP8X"):
        flags = parts[0][8] & ~(_EXIF_FLAG | _XMP_FLAG)
        if orientation != 1:
            flags |= _EXIF_FLAG
            parts.append(riff_chunks.chunk(b"EXIF", metadata.minimal_exif(orientation)))
        parts[0] = parts[0][:8] + bytes((flags,)) + parts[0][9:]
    return [*riff_chunks.file(b"WEBP", parts)]


def _encode(picture: Picture, options: EncodeOptions) -> bytes:
    data = save(
        picture,
        "WEBP",
        quality=options.quality,
        method=4 if options.optimize else 2,
        lossless=options.lossless,
        exif=picture.metadata.exif.removeprefix(b"Exif\0\0"),
        xmp=picture.metadata.xmp,
        **animation(picture),
    )
    return _with_alpha_flag(data) if picture.is_animated and picture.is_transparent else data


def _with_alpha_flag(data: bytes) -> bytes:
    """Set the flag for transparency. libwebp leaves it out when no frame has an alpha channel, also when the
    frames are rectangles that do not cover the transparent pixels: those would be shown black.
    """
    if data[12:16] != b"VP8X":
        return data
    return data[:_FLAGS_AT] + bytes((data[_FLAGS_AT] | _ALPHA_FLAG,)) + data[_FLAGS_AT + 1 :]


FORMAT = Format(
    name="webp",
    matches=_matches,
    open=opener(WebPImagePlugin.WebPImageFile),
    quality=_quality,
    can_be_animated=True,
    end=riff_chunks.end,
    decoding_bytes=19,
    strip=_strip,
    encoder=Encoder(encode=_encode, has_grey=False, transparent_bytes=35),
)
