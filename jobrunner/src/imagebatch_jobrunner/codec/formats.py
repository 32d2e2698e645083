"""The image formats: how each begins, what its results are called, and what else strangers send.

The allowlist is closed on purpose: decoders that a shop does not need (EPS, FITS, JPEG 2000 …) only add
ways to be attacked.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.errors import CodecError

FormatName = Literal["jpeg", "png", "webp", "gif", "avif", "bmp", "tiff", "ico", "psd"]


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """A format that is decoded. `pillow` is its name in Pillow."""

    name: FormatName
    pillow: str
    content_type: str
    extension: str


JPEG = ImageFormat("jpeg", "JPEG", "image/jpeg", "jpg")
PNG = ImageFormat("png", "PNG", "image/png", "png")
WEBP = ImageFormat("webp", "WEBP", "image/webp", "webp")
GIF = ImageFormat("gif", "GIF", "image/gif", "gif")
AVIF = ImageFormat("avif", "AVIF", "image/avif", "avif")
BMP = ImageFormat("bmp", "BMP", "image/bmp", "bmp")
TIFF = ImageFormat("tiff", "TIFF", "image/tiff", "tif")
ICO = ImageFormat("ico", "ICO", "image/vnd.microsoft.icon", "ico")
PSD = ImageFormat("psd", "PSD", "image/vnd.adobe.photoshop", "psd")

ALL = (JPEG, PNG, WEBP, GIF, AVIF, BMP, TIFF, ICO, PSD)
BY_NAME: dict[str, ImageFormat] = {one.name: one for one in ALL}

_HEAD_BYTES = 4096
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_PCX_VERSIONS = frozenset({b"\0\1", b"\2\1", b"\3\1", b"\4\1", b"\5\1"})


def recognise(data: bytes) -> ImageFormat:
    """The format by the first bytes, whatever name or Content-Type the file came with.

    Raises CodecError `not_an_image` or `unsupported_format`, whose message says what it looks like.
    """
    head = data[:_HEAD_BYTES]
    for image_format, matches in _KNOWN:
        if matches(head):
            return image_format
    for name, matches in _OTHER_IMAGES:
        if matches(head):
            raise CodecError(ErrorCode.UNSUPPORTED_FORMAT, f"the file is {name}")
    for name, matches in _NO_IMAGES:
        if matches(head):
            raise CodecError(ErrorCode.NOT_AN_IMAGE, f"the file is {name}")
    raise CodecError(ErrorCode.NOT_AN_IMAGE, "the file is not an image")


Matcher = Callable[[bytes], object]


def _begins(*signatures: bytes) -> Matcher:
    return lambda head: head.startswith(signatures)


def _text(pattern: bytes) -> Matcher:
    """Matches text at the start, after a byte order mark and white space."""
    compiled = re.compile(rb"(?:\xef\xbb\xbf)?\s*" + pattern, re.IGNORECASE | re.DOTALL)
    return compiled.match


def _is_bmp(head: bytes) -> bool:
    return head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES


def _brands(head: bytes) -> list[bytes]:
    """The brands of an ISO base media file: the major one, then the compatible ones."""
    if head[4:8] != b"ftyp":
        return []
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return [head[8:12], *(head[at : at + 4] for at in range(16, end, 4))]


def _is_avif(head: bytes) -> bool:
    brands = _brands(head)
    return bool(_AVIF_BRANDS.intersection(brands)) and brands[0] not in _HEIC_BRANDS - {b"mif1", b"msf1"}


def _is_metafile(head: bytes) -> bool:
    return head.startswith(b"\xd7\xcd\xc6\x9a") or (head.startswith(b"\1\0\0\0") and head[40:44] == b" EMF")


_KNOWN: tuple[tuple[ImageFormat, Matcher], ...] = (
    (JPEG, _begins(b"\xff\xd8\xff")),
    (PNG, _begins(b"\x89PNG\r\n\x1a\n")),
    (WEBP, lambda head: head.startswith(b"RIFF") and head[8:12] == b"WEBP"),
    (GIF, _begins(b"GIF87a", b"GIF89a")),
    (AVIF, _is_avif),
    (BMP, _is_bmp),
    (TIFF, _begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (ICO, _begins(b"\0\0\1\0")),
    (PSD, _begins(b"8BPS\0\1")),
)
_OTHER_IMAGES: tuple[tuple[str, Matcher], ...] = (
    ("an SVG drawing", _text(rb"(?:<\?xml.*?\?>\s*)?(?:<!--.*?-->\s*|<!DOCTYPE svg.*?>\s*)*<svg[\s>]")),
    ("an HEIC picture", lambda head: _HEIC_BRANDS.intersection(_brands(head)[:1])),
    ("a PDF document", _begins(b"%PDF-")),
    ("an EPS drawing", _begins(b"%!PS", b"\xc5\xd0\xd3\xc6")),
    ("a JPEG XL picture", _begins(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")),
    ("a JPEG 2000 picture", _begins(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")),
    ("a cursor", _begins(b"\0\0\2\0\1\0")),
    ("a large PSD (PSB) picture", _begins(b"8BPS\0\2")),
    ("an ICNS icon", _begins(b"icns")),
    ("a DDS texture", _begins(b"DDS ")),
    ("a Netpbm picture", _text(rb"P[1-7Ff][\s#]")),
    ("a Windows metafile", _is_metafile),
    ("a PCX picture", lambda head: head[:1] == b"\x0a" and head[1:3] in _PCX_VERSIONS),
    ("an SGI picture", _begins(b"\x01\xda")),
    ("a Sun raster picture", _begins(b"\x59\xa6\x6a\x95")),
    ("a FITS picture", _begins(b"SIMPLE  =")),
    ("a FLIC animation", lambda head: head[4:6] in {b"\x11\xaf", b"\x12\xaf"}),
    ("a BLP texture", _begins(b"BLP1", b"BLP2")),
    ("an X pixmap", _text(rb"/\* XPM \*/")),
    ("an X bitmap", _text(rb"#define \S+_width")),
    ("a Radiance picture", _begins(b"#?RADIANCE", b"#?RGBE")),
    ("a QOI picture", _begins(b"qoif")),
    ("an OpenEXR picture", _begins(b"\x76\x2f\x31\x01")),
)
_NO_IMAGES: tuple[tuple[str, Matcher], ...] = (
    (
        "an HTML page",
        _text(rb"(?:<\?xml.*?\?>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body|script|meta)"),
    ),
    ("an XML document", _text(rb"<\?xml|<[a-z]")),
    ("a JSON document", _text(rb"[{\[]\s*[\"\[{\]}]")),
    ("a video", lambda head: _brands(head) or head.startswith((b"\x1aE\xdf\xa3", b"\0\0\1\xba"))),
    ("a ZIP archive", _begins(b"PK\3\4")),
    ("a gzip archive", _begins(b"\x1f\x8b")),
)
