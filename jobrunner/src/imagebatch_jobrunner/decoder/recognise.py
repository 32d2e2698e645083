"""Which format a file has, by its first bytes; or what it is, where it has none of ours. Used by `probe`."""

import re
from collections.abc import Callable

from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.decoder.containers.iso_boxes import brands
from imagebatch_jobrunner.decoder.formats import table
from imagebatch_jobrunner.decoder.formats.format import Format, begins
from imagebatch_jobrunner.errors import CodecError

_HEAD_BYTES = 4096
_PCX_VERSIONS = frozenset({b"\0\1", b"\2\1", b"\3\1", b"\4\1", b"\5\1"})


def recognise(data: bytes) -> Format:
    """The format by the first bytes, whatever name or Content-Type the file came with.

    Raises CodecError `not_an_image` or `unsupported_format`, whose message says what it looks like.
    """
    head = data[:_HEAD_BYTES]
    for image_format in table.ALL:
        if image_format.matches(head):
            return image_format
    for name, matches in _OTHER_IMAGES:
        if matches(head):
            raise CodecError(ErrorCode.UNSUPPORTED_FORMAT, f"the file is {name}")
    for name, matches in _NO_IMAGES:
        if matches(head):
            raise CodecError(ErrorCode.NOT_AN_IMAGE, f"the file is {name}")
    raise CodecError(ErrorCode.NOT_AN_IMAGE, "the file is not an image")


def _text(pattern: bytes) -> Callable[[bytes], object]:
    """Matches text at the start, after a byte order mark and white space."""
    compiled = re.compile(rb"(?:\xef\xbb\xbf)?\s*" + pattern, re.IGNORECASE | re.DOTALL)
    return compiled.match


def _is_metafile(head: bytes) -> bool:
    return head.startswith(b"\xd7\xcd\xc6\x9a") or (head.startswith(b"\1\0\0\0") and head[40:44] == b" EMF")


_OTHER_IMAGES: tuple[tuple[str, Callable[[bytes], object]], ...] = (
    ("an SVG drawing", _text(rb"(?:<\?xml.*?\?>\s*)?(?:<!--.*?-->\s*|<!DOCTYPE svg.*?>\s*)*<svg[\s>]")),
    ("a PDF document", begins(b"%PDF-")),
    ("an EPS drawing", begins(b"%!PS", b"\xc5\xd0\xd3\xc6")),
    ("a JPEG XL picture", begins(b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")),
    ("a JPEG 2000 picture", begins(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")),
    ("a cursor", begins(b"\0\0\2\0\1\0")),
    ("a large PSD (PSB) picture", begins(b"8BPS\0\2")),
    ("an ICNS icon", begins(b"icns")),
    ("a DDS texture", begins(b"DDS ")),
    ("a Netpbm picture", _text(rb"P[1-7Ff][\s#]")),
    ("a Windows metafile", _is_metafile),
    ("a PCX picture", lambda head: head[:1] == b"\x0a" and head[1:3] in _PCX_VERSIONS),
    ("an SGI picture", begins(b"\x01\xda")),
    ("a Sun raster picture", begins(b"\x59\xa6\x6a\x95")),
    ("a FITS picture", begins(b"SIMPLE  =")),
    ("a FLIC animation", lambda head: head[4:6] in {b"\x11\xaf", b"\x12\xaf"}),
    ("a BLP texture", begins(b"BLP1", b"BLP2")),
    ("an X pixmap", _text(rb"/\* XPM \*/")),
    ("an X bitmap", _text(rb"#define \S+_width")),
    ("a Radiance picture", begins(b"#?RADIANCE", b"#?RGBE")),
    ("a QOI picture", begins(b"qoif")),
    ("an OpenEXR picture", begins(b"\x76\x2f\x31\x01")),
)
_NO_IMAGES: tuple[tuple[str, Callable[[bytes], object]], ...] = (
    (
        "an HTML page",
        _text(rb"(?:<\?xml.*?\?>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype html|html|head|body|script|meta)"),
    ),
    ("an XML document", _text(rb"<\?xml|<[a-z]")),
    ("a JSON document", _text(rb"[{\[]\s*[\"\[{\]}]")),
    ("a video", lambda head: brands(head) or head.startswith((b"\x1aE\xdf\xa3", b"\0\0\1\xba"))),
    ("a ZIP archive", begins(b"PK\3\4")),
    ("a gzip archive", begins(b"\x1f\x8b")),
)
