"""Windows bitmaps: their pixels as the header means them.

Headers by Microsoft's BITMAPINFOHEADER, BITMAPV4HEADER and BITMAPV5HEADER; OS/2's by its Presentation
Manager.
"""

import io
from dataclasses import dataclass

from PIL import BmpImagePlugin, Image, ImageFile, ImagePalette

from imagebatch_jobrunner.decoder.errors import rare
from imagebatch_jobrunner.decoder.formats.format import Format, Opened, nothing_to_strip, unchanged

_OS2_1, _OS2_2, _V3, _V4, _V5 = 12, 64, 56, 108, 124
_HEADER_SIZES = frozenset({_OS2_1, 16, 40, 52, _V3, _OS2_2, _V4, _V5})
_RAW, _RLE8, _RLE4, _BITFIELDS = 0, 1, 2, 3
_NAMES = {
    4: "a JPEG in it",
    5: "a PNG in it",
    6: "colour masks with alpha",
    11: "CMYK",
    12: "CMYK",
    13: "CMYK",
}
_RAW_MODES = {4: "P;4", 8: "P"}
_EMBEDDED = b"DEBM"
"""BITMAPV5HEADER's PROFILE_EMBEDDED, 'MBED', as it lies in the file."""


@dataclass(frozen=True, slots=True)
class BitmapHeader:
    """What a bitmap's header says; `at` is where it lies in the file."""

    data: bytes
    at: int

    def short(self, place: int) -> int:
        return int.from_bytes(self.data[self.at + place : self.at + place + 2], "little")

    def long(self, place: int) -> int:
        return int.from_bytes(self.data[self.at + place : self.at + place + 4], "little")

    @property
    def size(self) -> int:
        return self.long(0)

    @property
    def bits(self) -> int:
        return self.short(10) if self.size == _OS2_1 else self.short(14)

    @property
    def compression(self) -> int:
        return _RAW if self.size == _OS2_1 else self.long(16)

    @property
    def alpha_mask(self) -> int:
        return self.long(52) if self.size in {_V3, _V4, _V5} else 0


def open_bitmap(data: bytes) -> Opened:
    """Also of the bitmaps in icons. Raises CodecError, and whatever Pillow does for damaged files."""
    header = BitmapHeader(data, 14)
    kind = _rarity(header)
    if kind is not None:
        raise rare("bmp", kind)
    image = BmpImagePlugin.BmpImageFile(io.BytesIO(data))
    _mend_palette(image, header)
    profile = _profile(header)
    if profile:
        image.info["icc_profile"] = profile
    return Opened(image, _without_empty_alpha if image.mode == "RGBA" else unchanged)


def _rarity(header: BitmapHeader) -> str | None:
    """What Pillow misreads, or would not name."""
    compression, bits = header.compression, header.bits
    if header.size == _OS2_2 and compression > _RLE4:
        return f"OS/2 compression {compression}"
    if compression not in {_RAW, _RLE8, _RLE4, _BITFIELDS}:
        return _NAMES.get(compression, f"compression {compression}")
    if (compression == _RLE8 and bits != 8) or (compression == _RLE4 and bits != 4):
        return f"compression {compression} of {bits} bits a pixel"
    if compression == _BITFIELDS and bits == 16 and header.alpha_mask:
        return "16 bits a pixel with alpha"
    if header.size != _OS2_1 and header.long(8) >= 1 << 31 and compression in {_RLE8, _RLE4}:
        return "run lengths from the top down"
    return None


def _mend_palette(image: ImageFile.ImageFile, header: BitmapHeader) -> None:
    """Pillow takes a palette of only black and white, or of its own numbers, for pixels of 1 or 8 bits."""
    raw_mode = _RAW_MODES.get(header.bits)
    is_right = image.mode not in {"1", "L"} or (image.mode == "L" and header.bits == 8)
    if raw_mode is None or is_right:
        return
    step = 3 if header.size == _OS2_1 else 4
    count = (0 if header.size == _OS2_1 else header.long(32)) or 1 << header.bits
    start = header.at + header.size
    image.palette = ImagePalette.raw(
        "BGRX" if step == 4 else "BGR", header.data[start : start + step * count]
    )
    image._mode = "P"  # noqa: SLF001 - as the plugin itself sets it
    tile = image.tile[0]
    if tile.codec_name == "raw" and isinstance(tile.args, tuple):
        image.tile = [tile._replace(args=(raw_mode, *tile.args[1:]))]


def _without_empty_alpha(image: Image.Image) -> Image.Image:
    """Where every pixel is wholly transparent, nobody has written the alpha: Windows shows such a bitmap
    opaque.
    """
    return image if image.getchannel("A").getbbox() else image.convert("RGB")


def _profile(header: BitmapHeader) -> bytes:
    """The ICC profile in a BITMAPV5HEADER."""
    if header.size != _V5 or header.data[header.at + 56 : header.at + 60] != _EMBEDDED:
        return b""
    start = header.at + header.long(112)
    return header.data[start : start + header.long(116)]


def _matches(head: bytes) -> bool:
    return head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _HEADER_SIZES


FORMAT = Format(name="bmp", matches=_matches, open=open_bitmap, strip=nothing_to_strip)
