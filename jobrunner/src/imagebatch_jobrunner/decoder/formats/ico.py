"""Windows icons: the largest picture of a file, of these the one with most colours.

An icon's entry is a whole PNG file, or a bitmap without file header whose height counts its AND mask too
(Microsoft, "Icons", 1995).
"""

import io
import struct
from dataclasses import dataclass

from PIL import Image, PngImagePlugin

from imagebatch_jobrunner.decoder.colour.spaces import ColourSpace
from imagebatch_jobrunner.decoder.containers import png_chunks
from imagebatch_jobrunner.decoder.errors import BAD_HEADER, corrupt, rare, truncated
from imagebatch_jobrunner.decoder.formats import bmp, png
from imagebatch_jobrunner.decoder.formats.format import Format, Opened, begins, nothing_to_strip

_DIRECTORY = struct.Struct("<BBBBHHII")
_INFO_HEADER = 40
_PNG_HEADER_END = 26
_BITFIELDS = 3


@dataclass(frozen=True, slots=True)
class _Entry:
    """One picture of an icon, as its own header says; `data` begins with that header."""

    data: bytes
    is_png: bool
    width: int
    height: int
    bits: int
    is_cut: bool


def _open(data: bytes) -> Opened:
    best = _best(data)
    if best.is_png:
        return Opened(PngImagePlugin.PngImageFile(io.BytesIO(best.data)))
    return _bitmap(best)


def _colour_space(data: bytes, has_profile: bool) -> ColourSpace | None:
    best = _best(data)
    return png.colour_space(best.data, has_profile) if best.is_png else None


def _end(data: bytes) -> int:
    return max((at + size for at, size in _places(data)), default=0)


def _has_more_pictures(data: bytes) -> bool:
    return len(_entries(data)) > 1


def _best(data: bytes) -> _Entry:
    """The entry that is shown. Raises CodecError `corrupt` when there is none."""
    found = _entries(data)
    if not found:
        raise corrupt(BAD_HEADER)
    return max(found, key=lambda one: (one.width * one.height, one.bits))


def _entries(data: bytes) -> list[_Entry]:
    """Those whose place is in the file; the directory's own words of size and depth are often wrong."""
    return [
        entry
        for at, size in _places(data)
        if (entry := _entry(data[at : at + size], is_cut=at + size > len(data))) is not None
    ]


def _places(data: bytes) -> "list[tuple[int, int]]":
    """By the directory: where each entry lies, and how long it is. Raises struct.error when that is cut."""
    (count,) = struct.unpack_from("<H", data, 4)
    places = [_DIRECTORY.unpack_from(data, 6 + _DIRECTORY.size * number) for number in range(count)]
    return [(at, size) for *_, size, at in places]


def _entry(data: bytes, *, is_cut: bool) -> _Entry | None:
    if data.startswith(png_chunks.SIGNATURE) and len(data) >= _PNG_HEADER_END:
        header = png_chunks.header(data)
        return _Entry(data, True, header.width, header.height, header.bits, is_cut)
    if len(data) < _INFO_HEADER:
        return None
    width, height, _, bits = struct.unpack_from("<iiHH", data, 4)
    return _Entry(data, False, width, abs(height) // 2, bits, is_cut)


def _bitmap(entry: _Entry) -> Opened:
    """The entry's colours as a bitmap file of their own, and its transparency for when they are decoded."""
    header = bmp.BitmapHeader(entry.data, 0)
    if header.size < _INFO_HEADER or header.compression not in {0, _BITFIELDS}:
        raise rare("ico", f"a bitmap with compression {header.compression}")
    colours = (header.long(32) or 1 << entry.bits) if entry.bits <= 8 else header.long(32)
    masks = 12 if header.compression == _BITFIELDS and header.size == _INFO_HEADER else 0
    pixels_at = header.size + masks + 4 * colours
    body = bytearray(entry.data)
    struct.pack_into("<i", body, 8, entry.height)
    head = b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + pixels_at)
    shades = _shades(entry, pixels_at)
    found = bmp.open_bitmap(head + bytes(body))
    return Opened(found.image, lambda image: _with_shades(image, shades))


def _shades(entry: _Entry, pixels_at: int) -> Image.Image | None:
    """Alpha: the fourth byte of 32-bit pixels where any is set, else what the AND mask leaves, if there is
    one.
    """
    stride = (entry.width * entry.bits + 31) // 32 * 4
    if entry.bits == 32:
        alpha = entry.data[pixels_at : pixels_at + stride * entry.height][3::4]
        if any(alpha) and len(alpha) == entry.width * entry.height:
            return Image.frombytes("L", (entry.width, entry.height), alpha, "raw", "L", 0, -1)
    mask_stride = (entry.width + 31) // 32 * 4
    mask_at = pixels_at + stride * entry.height
    mask = entry.data[mask_at : mask_at + mask_stride * entry.height]
    if len(mask) < mask_stride * entry.height:
        if entry.is_cut:
            raise truncated()
        return None
    return Image.frombytes("1", (entry.width, entry.height), mask, "raw", "1;I", mask_stride, -1).convert("L")


def _with_shades(image: Image.Image, shades: Image.Image | None) -> Image.Image:
    found = image.convert("RGB")
    if shades is not None:
        found.putalpha(shades)
    return found


FORMAT = Format(
    name="ico",
    matches=begins(b"\0\0\1\0"),
    open=_open,
    colour_space=_colour_space,
    has_mask=True,
    end=_end,
    strip=nothing_to_strip,
    has_more_pictures=_has_more_pictures,
)
