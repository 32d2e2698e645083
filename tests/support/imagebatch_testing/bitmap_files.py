"""Windows bitmaps and icons of every layout, byte by byte (BITMAPINFOHEADER and its kin; OS/2's bitmap headers)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

RAW, RLE8, RLE4, BITFIELDS, JPEG, PNG = range(6)
Grid = list[list[int]]
"""Rows of pixels as the numbers that stand in the file, from the top."""


@dataclass(frozen=True, kw_only=True)
class Bitmap:
    """`header` is the length of its header. `masks` are red, green, blue and perhaps alpha."""

    pixels: Grid
    bits: int
    header: int = 40
    compression: int = RAW
    palette: Sequence[tuple[int, int, int]] = ()
    masks: tuple[int, ...] = ()
    is_top_down: bool = False
    data: bytes | None = None
    colour_space: bytes = b"BGRs"
    end_points: tuple[float, ...] = ()
    gammas: tuple[float, ...] = ()
    profile: bytes = b""
    says_colours: bool = True

    @property
    def width(self) -> int:
        return len(self.pixels[0])

    @property
    def height(self) -> int:
        return len(self.pixels)


def bmp(bitmap: Bitmap) -> bytes:
    body = dib(bitmap)
    pixels_at = 14 + len(body) - len(pixel_bytes(bitmap)) - len(bitmap.profile)
    return b"BM" + struct.pack("<IHHI", 14 + len(body), 0, 0, pixels_at) + body


def dib(bitmap: Bitmap, height: int = 0) -> bytes:
    """Without the file's header; `height` is what it says of itself, where that is not its own."""
    step = 3 if bitmap.header == 12 else 4
    palette = b"".join(struct.pack("BBB", *colour[::-1]) + bytes(step - 3) for colour in bitmap.palette)
    loose = bitmap.masks if bitmap.compression == BITFIELDS and bitmap.header == 40 else ()
    masks = struct.pack(f"<{len(loose)}I", *loose)
    return _header(bitmap, height or bitmap.height) + masks + palette + pixel_bytes(bitmap) + bitmap.profile


def _header(bitmap: Bitmap, height: int) -> bytes:
    if bitmap.header == 12:
        return struct.pack("<IHHHH", 12, bitmap.width, height, 1, bitmap.bits)
    colours = len(bitmap.palette) if bitmap.says_colours else 0
    head = struct.pack(
        "<IiiHHIIiiII", bitmap.header, bitmap.width, -height if bitmap.is_top_down else height, 1, bitmap.bits,
        bitmap.compression, len(pixel_bytes(bitmap)), 2835, 2835, colours, 0,
    )  # fmt: skip
    if bitmap.header > 64 or bitmap.header in {52, 56}:
        head += struct.pack("<4I", *(*bitmap.masks, 0, 0, 0, 0)[:4])
        head += bitmap.colour_space.ljust(4, b"\0")
        head += struct.pack("<9I", *(round(end * (1 << 30)) for end in bitmap.end_points or 9 * (0,)))
        head += struct.pack("<3I", *(round(gamma * (1 << 16)) for gamma in bitmap.gammas or 3 * (0,)))
    if bitmap.header == 124:
        head += struct.pack("<4I", 4, 124 + len(pixel_bytes(bitmap)), len(bitmap.profile), 0)
    return head.ljust(bitmap.header, b"\0")[: bitmap.header]


def pixel_bytes(bitmap: Bitmap) -> bytes:
    if bitmap.data is not None:
        return bitmap.data
    rows = bitmap.pixels if bitmap.is_top_down else bitmap.pixels[::-1]
    return b"".join(_row(row, bitmap.bits) for row in rows)


def _row(row: list[int], bits: int) -> bytes:
    """A row is filled up to a multiple of 4 bytes."""
    if bits >= 8:
        packed = b"".join(value.to_bytes(bits // 8, "little") for value in row)
    else:
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        packed = int(text, 2).to_bytes(len(text) // 8, "big")
    return packed + bytes(-len(packed) % 4)


def rle8(grid: Grid) -> bytes:
    """Runs, and literal stretches of four or more, each row ended (BI_RLE8)."""
    found = bytearray()
    for row in grid[::-1]:
        at = 0
        while at < len(row):
            run = next((n for n in range(1, len(row) - at) if row[at + n] != row[at]), len(row) - at)
            if run == 1 and len(row) - at >= 5:
                found += bytes((0, 5, *row[at : at + 5], 0))  # filled up to an even length
                at += 5
            else:
                found += bytes((min(run, 255), row[at]))
                at += min(run, 255)
        found += b"\0\0"
    return bytes(found[:-2]) + b"\0\1"


def rle4(grid: Grid) -> bytes:
    """Pairs that alternate, and a literal stretch at the start of each row (BI_RLE4)."""
    found = bytearray()
    for row in grid[::-1]:
        first, rest = row[:5], row[5:]
        literal = [*first, 0]
        found += bytes((0, 5, *(literal[n] << 4 | literal[n + 1] for n in (0, 2, 4)), 0))
        for at in range(0, len(rest), 2):
            pair = [*rest[at : at + 2], 0][:2]
            found += bytes((len(rest[at : at + 2]), pair[0] << 4 | pair[1]))
        found += b"\0\0"
    return bytes(found[:-2]) + b"\0\1"


@dataclass(frozen=True, kw_only=True)
class Icon:
    """One picture of an icon: a PNG file, or a bitmap and its AND mask (rows of 0 and 1, from the top)."""

    png: bytes = b""
    bitmap: Bitmap | None = None
    mask: Grid | None = None
    says: tuple[int, int, int] = (0, 0, 0)
    """Width, height and bits in the icon's directory."""


def ico(*icons: Icon) -> bytes:
    parts = [icon.png or _with_mask(icon) for icon in icons]
    at = 6 + 16 * len(icons)
    directory = struct.pack("<HHH", 0, 1, len(icons))
    for icon, part in zip(icons, parts, strict=True):
        width, height, bits = icon.says
        directory += struct.pack("<BBBBHHII", width % 256, height % 256, 0, 0, 1, bits, len(part), at)
        at += len(part)
    return directory + b"".join(parts)


def _with_mask(icon: Icon) -> bytes:
    assert icon.bitmap is not None
    mask = icon.mask or [[0] * icon.bitmap.width] * icon.bitmap.height
    return dib(icon.bitmap, 2 * icon.bitmap.height) + b"".join(_row(row, 1) for row in mask[::-1])
