"""Removing metadata from a file whose picture is kept bit for bit.

Used by `compress` when a source's picture is not encoded again. What a published picture must not tell
(where and when it was taken, by whom, with which camera, its thumbnail) goes; what its colours need stays,
and so does the EXIF orientation, alone, where it turns the picture.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from imagebatch_jobrunner.codec.formats import FormatName
from imagebatch_jobrunner.decoder import strip_avif
from imagebatch_jobrunner.decoder.containers import jpeg_segments, png_chunks
from imagebatch_jobrunner.decoder.metadata import minimal_exif


class UnstrippableError(Exception):
    """The file is not built as its format says, or there is no lossless way for its format."""


Parts = list[bytes | memoryview]
"""A file in parts, those of the file that it is made from as views where they are long."""


def stripped(data: bytes, name: FormatName, orientation: int) -> bytes:
    """The file without metadata, never longer than before. Raises UnstrippableError."""
    parts = _parts(data, name, orientation)
    return b"".join(parts) if _length(parts) <= len(data) else data


def stripped_bytes(data: bytes, name: FormatName, orientation: int) -> int:
    """How long that file is, which is not made for it. Raises UnstrippableError."""
    return min(_length(_parts(data, name, orientation)), len(data))


def _parts(data: bytes, name: FormatName, orientation: int) -> Parts:
    strip = _STRIPPERS.get(name)
    if strip is None:
        raise UnstrippableError(f"no lossless way for {name}")
    try:
        return strip(data, orientation)
    except (struct.error, IndexError, ValueError) as error:
        raise UnstrippableError(str(error)) from error


def _length(parts: Parts) -> int:
    return sum(map(len, parts))


# JPEG: ITU-T T.81 (1992), Annex B; the APP segments by JFIF 1.02, Adobe TN 5116, ICC.1:2010 B.4.

_APP0, _APP1, _APP2, _APP14, _APP15, _COM = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
_JFIF_BARE = 14


def _jpeg(data: bytes, orientation: int) -> Parts:
    """What follows the end of the picture goes too, be it a second picture."""
    parts: Parts = [b"\xff\xd8"]
    if orientation != 1:
        exif = b"Exif\0\0" + minimal_exif(orientation)
        parts.append(_jpeg_segment(_APP1, exif))
    for segment in jpeg_segments.segments(data):
        if segment.marker == jpeg_segments.SOS or _is_kept_in_jpeg(segment.marker, segment.content):
            parts += (_jpeg_segment(segment.marker, segment.content), segment.scan)
    return [*parts, b"\xff\xd9"]


def _is_kept_in_jpeg(marker: int, content: bytes) -> bool:
    if marker == _APP0:
        return content.startswith(b"JFIF\0")
    if marker == _APP2:
        return content.startswith(b"ICC_PROFILE\0")
    if marker == _APP14:
        return content.startswith(b"Adobe")
    return not (_APP1 <= marker <= _APP15 or marker == _COM)


def _jpeg_segment(marker: int, content: bytes) -> bytes:
    if marker == _APP0 and len(content) > _JFIF_BARE:
        content = content[: _JFIF_BARE - 2] + b"\0\0"  # its thumbnail may show what was cropped away
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


# PNG: W3C Recommendation, third edition, 11.

_PNG_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND tRNS acTL fcTL fdAT "
    b"cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD hIST pHYs sPLT".split()
)


def _png(data: bytes, orientation: int) -> Parts:
    parts: Parts = [data[:8]]
    for kind, chunk in png_chunks.chunks(data):
        if kind in _PNG_KEPT:
            parts.append(chunk)
        if kind == b"IHDR" and orientation != 1:
            parts.append(_png_chunk(b"eXIf", minimal_exif(orientation)))
    return parts


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


# WebP: RFC 9649, 2.7.

_WEBP_EXIF_FLAG, _WEBP_XMP_FLAG = 0x08, 0x04
_WEBP_KEPT = frozenset({b"VP8X", b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"})


def _webp(data: bytes, orientation: int) -> Parts:
    parts = [_webp_chunk(kind, content) for kind, content in _webp_chunks(data) if kind in _WEBP_KEPT]
    if parts and parts[0].startswith(b"VP8X"):
        flags = parts[0][8] & ~(_WEBP_EXIF_FLAG | _WEBP_XMP_FLAG)
        if orientation != 1:
            flags |= _WEBP_EXIF_FLAG
            parts.append(_webp_chunk(b"EXIF", minimal_exif(orientation)))
        parts[0] = parts[0][:8] + bytes((flags,)) + parts[0][9:]
    return [b"RIFF", struct.pack("<I", sum(map(len, parts)) + 4), b"WEBP", *parts]


def _webp_chunks(data: bytes) -> "Iterator[tuple[bytes, bytes]]":
    at, end = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while at + 8 <= end:
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], data[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)


def _webp_chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) & 1)


# GIF: GIF89a specification (CompuServe, 1990), 18 to 26.

_GIF_EXTENSION, _GIF_IMAGE, _GIF_TRAILER = 0x21, 0x2C, 0x3B
_GIF_CONTROL, _GIF_APPLICATION = 0xF9, 0xFF
_GIF_APPLICATIONS = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")


@dataclass(frozen=True, slots=True)
class _GifBlock:
    start: int
    end: int
    is_kept: bool


def _gif(data: bytes, _orientation: int) -> Parts:
    at = 13 + _colour_table_bytes(data[10])
    parts: Parts = [data[:at]]
    parts += [data[block.start : block.end] for block in _gif_blocks(data, at) if block.is_kept]
    return [*parts, b";"]


def _gif_blocks(data: bytes, at: int) -> Iterator[_GifBlock]:
    while at < len(data) and data[at] != _GIF_TRAILER:
        if data[at] == _GIF_EXTENSION:
            end = _sub_blocks_end(data, at + 2)
            yield _GifBlock(at, end, _is_kept_in_gif(data[at + 1], data[at + 3 : at + 14]))
        elif data[at] == _GIF_IMAGE:
            end = _sub_blocks_end(data, at + 11 + _colour_table_bytes(data[at + 9]))
            yield _GifBlock(at, end, is_kept=True)
        else:
            raise ValueError("what follows is no block")
        at = end


def _colour_table_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 0x07) + 1) if flags & 0x80 else 0


def _sub_blocks_end(data: bytes, at: int) -> int:
    while data[at]:
        at += 1 + data[at]
    return at + 1


def _is_kept_in_gif(label: int, application: bytes) -> bool:
    return label == _GIF_CONTROL or (label == _GIF_APPLICATION and application in _GIF_APPLICATIONS)


def _avif(data: bytes, orientation: int) -> Parts:
    return [strip_avif.stripped(data, orientation)]


def _unchanged(data: bytes, _orientation: int) -> Parts:
    return [data]


_STRIPPERS: dict[FormatName, Callable[[bytes, int], Parts]] = {
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
    "gif": _gif,
    "avif": _avif,
    "bmp": _unchanged,
    "ico": _unchanged,
}
