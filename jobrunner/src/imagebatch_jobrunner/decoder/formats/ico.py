"""Opening a Windows icon: the largest of its pictures, of these the one with most colours.

An icon's entry is a whole PNG file, or a bitmap without file header whose height counts its AND mask too
(Microsoft, "Icons", 1995). Used by `opening`.
"""

import io
import struct
from dataclasses import dataclass

from PIL import Image, PngImagePlugin

from imagebatch_jobrunner.codec import formats
from imagebatch_jobrunner.decoder.errors import corrupt, rare, truncated
from imagebatch_jobrunner.decoder.formats import bmp
from imagebatch_jobrunner.decoder.opened import Opened

_PNG = b"\x89PNG\r\n\x1a\n"
_DIRECTORY = struct.Struct("<BBBBHHII")
_INFO_HEADER = 40
_BITFIELDS = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of an icon, as its own header says; `data` begins with that header."""

    data: bytes
    is_png: bool
    width: int
    height: int
    bits: int
    is_cut: bool


def opened(data: bytes) -> Opened:
    """Raises CodecError, and whatever Pillow does for damaged pictures."""
    found = entries(data)
    if not found:
        raise corrupt("its header is damaged")
    best = max(found, key=lambda one: (one.width * one.height, one.bits))
    if best.is_png:
        return Opened(PngImagePlugin.PngImageFile(io.BytesIO(best.data)), inner=best.data)
    return _bitmap(best)


def entries(data: bytes) -> list[Entry]:
    """Those whose place is in the file; the directory's own words of size and depth are often wrong."""
    (count,) = struct.unpack_from("<H", data, 4)
    places = [_DIRECTORY.unpack_from(data, 6 + 16 * number) for number in range(count)]
    return [
        entry
        for *_, size, at in places
        if (entry := _entry(data[at : at + size], is_cut=at + size > len(data))) is not None
    ]


def _entry(data: bytes, *, is_cut: bool) -> Entry | None:
    if data.startswith(_PNG) and len(data) >= 26:
        width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
        return Entry(data, True, width, height, depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1), is_cut)
    if len(data) < _INFO_HEADER:
        return None
    width, height, _, bits = struct.unpack_from("<iiHH", data, 4)
    return Entry(data, False, width, abs(height) // 2, bits, is_cut)


def _bitmap(entry: Entry) -> Opened:
    """The entry's colours as a bitmap file of their own, and its transparency for when they are decoded."""
    header = bmp.Header(entry.data, 0)
    if header.size < _INFO_HEADER or header.compression not in {0, _BITFIELDS}:
        raise rare(formats.ICO, f"a bitmap with compression {header.compression}")
    colours = (header.long(32) or 1 << entry.bits) if entry.bits <= 8 else header.long(32)
    masks = 12 if header.compression == _BITFIELDS and header.size == _INFO_HEADER else 0
    pixels_at = header.size + masks + 4 * colours
    body = bytearray(entry.data)
    struct.pack_into("<i", body, 8, entry.height)
    head = b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, 14 + pixels_at)
    shades = _shades(entry, pixels_at)
    found = bmp.opened(head + bytes(body))
    return Opened(found.image, lambda image: _with_shades(image, shades))


def _shades(entry: Entry, pixels_at: int) -> Image.Image | None:
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
