"""Colours that a file describes outside an ICC profile: where they stand in PNG and AVIF.

PNG: W3C Recommendation, third edition, 4.3 and 11.3.2: cICP wins over iCCP, that over sRGB, that over gAMA
and cHRM. AVIF: the nclx box (ISO/IEC 14496-12, 12.1.5), where there is no ICC profile. Used by `opening`.
"""

import struct
from collections.abc import Iterator

from imagebatch_jobrunner.codec import formats
from imagebatch_jobrunner.codec.formats import ImageFormat
from imagebatch_jobrunner.decoder.colour.spaces import SRGB, ColourSpace, by_gamma, by_h273
from imagebatch_jobrunner.decoder.containers import png_chunks

_META, _IPRP, _IPCO, _COLR = b"meta", b"iprp", b"ipco", b"colr"
_FULL_BOX_BYTES = 4


def described(data: bytes, image_format: ImageFormat, *, has_profile: bool) -> ColourSpace | None:
    """The colour space to read the numbers by; None where the file tells none, or its ICC profile counts.

    Raises CodecError `unsupported_format` for one that is not converted, such as HDR.
    """
    if image_format == formats.PNG:
        return _png(data, image_format, has_profile=has_profile)
    if image_format == formats.AVIF and not has_profile:
        return _avif(data, image_format)
    return None


def _png(data: bytes, image_format: ImageFormat, *, has_profile: bool) -> ColourSpace | None:
    chunks = _png_chunks(data)
    if b"cICP" in chunks and len(chunks[b"cICP"]) == 4:
        primaries, transfer, _, full_range = chunks[b"cICP"]
        found = by_h273(primaries, transfer, image_format, is_full=full_range != 0)
        if found is not None:
            return found
    if has_profile:
        return None
    if b"sRGB" in chunks:
        return SRGB
    gamma = struct.unpack(">I", chunks[b"gAMA"])[0] if len(chunks.get(b"gAMA", b"")) == 4 else 0
    points = struct.unpack(">8I", chunks[b"cHRM"]) if len(chunks.get(b"cHRM", b"")) == 32 else ()
    return by_gamma(gamma / 100_000, tuple(point / 100_000 for point in points))


def _png_chunks(data: bytes) -> dict[bytes, bytes]:
    """The contents of the chunks before the picture, the first of each kind."""
    found: dict[bytes, bytes] = {}
    try:
        for kind, chunk in png_chunks.chunks(data):
            if kind in {b"IDAT", b"IEND"}:
                break
            found.setdefault(kind, chunk[8:-4])
    except ValueError:
        pass  # a cut file, as its decoder will tell
    return found


def _avif(data: bytes, image_format: ImageFormat) -> ColourSpace | None:
    for content in _boxes_at(data, (_META, _IPRP, _IPCO, _COLR)):
        if content[:4] == b"nclx" and len(content) >= 10:
            primaries, transfer = struct.unpack_from(">HH", content, 4)
            return by_h273(primaries, transfer, image_format, is_full=True)  # its decoder gives full range
    return None


def _boxes_at(data: bytes, path: tuple[bytes, ...]) -> Iterator[bytes]:
    """The contents of every box on that path (ISO/IEC 14496-12, 4.2)."""
    if not path:
        yield data
        return
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1 and at + 16 <= len(data):
            (size,), start = struct.unpack_from(">Q", data, at + 8), at + 16
        end = len(data) if size == 0 else at + size
        if end < start:
            return
        if kind == path[0]:
            yield from _boxes_at(data[start + (_FULL_BOX_BYTES if kind == _META else 0) : end], path[1:])
        at = end
