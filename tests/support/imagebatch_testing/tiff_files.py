"""TIFF files of every layout, written byte by byte by TIFF 6.0 (Adobe, 1992), with no image library's TIFF writer.

Used by the tests of what the codec decodes. A `Page` says how its samples lie in the file; `tiff` puts pages
together. Samples are whole numbers, rows of pixels of samples.
"""

import lzma
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Samples = list[list[tuple[int, ...]]]
"""Rows of pixels of samples."""

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR, LAB = 0, 1, 2, 3, 4, 5, 6, 8
CFA, LINEAR_RAW = 32803, 34892
RAW, LZW, OLD_JPEG, JPEG, DEFLATE, PACKBITS, OLD_DEFLATE = 1, 5, 6, 7, 8, 32773, 32946
LZMA, ZSTD, WEBP = 34925, 50000, 50001

_SHORT, _LONG, _BYTES, _LONG8 = 3, 4, 7, 16
_LETTERS = {_SHORT: "H", _LONG: "I", _BYTES: "B", _LONG8: "Q"}


@dataclass(frozen=True, kw_only=True)
class Page:
    """How one page lies in its file. `tags` come beside those that follow from the rest, or in their place."""

    samples: Samples
    photometric: int
    bits: int = 8
    compression: int = RAW
    planar: int = 1
    predictor: int = 1
    fill_order: int = 1
    sample_format: int = 1
    extra: tuple[int, ...] = ()
    tile: int = 0
    rows_per_strip: int = 7
    subsampling: tuple[int, int] = (1, 1)
    encode: Callable[[Samples], bytes] | None = None
    tags: dict[int, tuple[int, ...] | bytes] = field(default_factory=dict)
    sub_pages: "tuple[Page, ...]" = ()

    @property
    def width(self) -> int:
        return len(self.samples[0])

    @property
    def height(self) -> int:
        return len(self.samples)


def tiff(*pages: Page, order: str = "<", big: bool = False) -> bytes:
    """A file of these pages; `order` is struct's, `big` makes it a BigTIFF."""
    writer = _Writer(order, big)
    return writer.file(pages)


class _Writer:
    def __init__(self, order: str, big: bool) -> None:
        self._order, self._big = order, big
        self._offset = "Q" if big else "I"
        self._parts = bytearray(b"II" if order == "<" else b"MM")
        self._parts += self._pack("HHHQ", 43, 8, 0, 0) if big else self._pack("HI", 42, 0)
        self._link = 8 if big else 4

    def file(self, pages: Sequence[Page]) -> bytes:
        for page in pages:
            at, link = self._directory(page)
            self._parts[self._link : self._link + struct.calcsize(self._offset)] = self._pack(
                self._offset, at
            )
            self._link = link
        return bytes(self._parts)

    def _pack(self, layout: str, *values: int) -> bytes:
        return struct.pack(self._order + layout, *values)

    def _append(self, data: bytes) -> int:
        self._parts += b"\0" * (len(self._parts) % 2)
        at = len(self._parts)
        self._parts += data
        return at

    def _directory(self, page: Page) -> tuple[int, int]:
        """Where the page's directory is, and where the link to the next one is."""
        subs = tuple(self._directory(sub)[0] for sub in page.sub_pages)
        parts = [self._append(part) for part in parts_of(page, self._order)]
        sizes = [len(part) for part in parts_of(page, self._order)]
        tags = {**tags_of(page), **({330: subs} if subs else {})}
        tags |= (
            {324: tuple(parts), 325: tuple(sizes)} if page.tile else {273: tuple(parts), 279: tuple(sizes)}
        )
        tags |= page.tags
        entries = b"".join(self._entry(tag, tags[tag]) for tag in sorted(tags) if tags[tag] != ())
        count = sum(1 for tag in tags if tags[tag] != ())
        body = self._pack("Q" if self._big else "H", count) + entries
        at = self._append(body + self._pack(self._offset, 0))
        return at, at + len(body)

    def _entry(self, tag: int, values: tuple[int, ...] | bytes) -> bytes:
        kind = _BYTES if isinstance(values, bytes) else _LONG if max(values) > 0xFFFF else _SHORT
        if tag in {273, 279, 324, 325, 330} and not isinstance(values, bytes):
            kind = _LONG8 if self._big else _LONG
        packed = self._pack(f"{len(values)}{_LETTERS[kind]}", *values)
        room = struct.calcsize(self._offset)
        if len(packed) > room:
            packed = self._pack(self._offset, self._append(packed))
        return self._pack("HH" + self._offset, tag, kind, len(values)) + packed.ljust(room, b"\0")


def tags_of(page: Page) -> dict[int, tuple[int, ...] | bytes]:
    count = len(page.samples[0][0])
    return {
        256: (page.width,),
        257: (page.height,),
        258: (page.bits,) * count,
        259: (page.compression,),
        262: (page.photometric,),
        266: (page.fill_order,) if page.fill_order != 1 else (),
        277: (count,),
        278: (page.rows_per_strip,) if not page.tile else (),
        284: (page.planar,),
        317: (page.predictor,) if page.predictor != 1 else (),
        322: (page.tile,) if page.tile else (),
        323: (page.tile,) if page.tile else (),
        338: page.extra,
        339: (page.sample_format,) * count if page.sample_format != 1 else (),
        530: page.subsampling if page.photometric == YCBCR else (),
    }


def parts_of(page: Page, order: str) -> list[bytes]:
    """The strips or tiles, in the file's order."""
    planes = [page.samples]
    if page.planar == 2:
        count = len(page.samples[0][0])
        planes = [[[(pixel[one],) for pixel in row] for row in page.samples] for one in range(count)]
    return [_compressed(piece, page, order) for plane in planes for piece in _pieces(plane, page)]


def _pieces(plane: Samples, page: Page) -> list[Samples]:
    if not page.tile:
        step = page.rows_per_strip
        return [plane[top : top + step] for top in range(0, page.height, step)]
    side = page.tile
    return [
        [
            [
                (plane[y] if y < page.height else plane[-1])[min(x, page.width - 1)]
                for x in range(left, left + side)
            ]
            for y in range(top, top + side)
        ]
        for top in range(0, page.height, side)
        for left in range(0, page.width, side)
    ]


def _compressed(piece: Samples, page: Page, order: str) -> bytes:
    if page.encode is not None:
        return page.encode(piece)
    if page.photometric == YCBCR and page.subsampling != (1, 1):
        packed = _subsampled(piece, *page.subsampling)
    else:
        packed = b"".join(_row(row, page, order) for row in piece)
    if page.fill_order == 2 and page.compression == RAW:
        packed = bytes(int(f"{byte:08b}"[::-1], 2) for byte in packed)
    if page.compression == PACKBITS:  # TIFF 6.0, 9: each row by itself
        step = len(packed) // len(piece)
        return b"".join(packbits(packed[at : at + step]) for at in range(0, len(packed), step))
    return _COMPRESSIONS[page.compression](packed)


def _row(row: list[tuple[int, ...]], page: Page, order: str) -> bytes:
    pixels = row
    if page.predictor == 2:  # TIFF 6.0, 14
        top = 1 << page.bits
        pixels = [row[0]] + [
            tuple((one - before) % top for one, before in zip(pixel, last, strict=True))
            for pixel, last in zip(row[1:], row, strict=False)
        ]
    values = [value for pixel in pixels for value in pixel]
    if page.predictor == 3:
        return _differenced_floats(values, len(row[0]), page.bits)
    return packed_bits(values, page.bits, order)


def packed_bits(values: list[int], bits: int, order: str) -> bytes:
    """Values of so many bits after each other, a row filled up to a whole byte."""
    if bits in {8, 16, 32, 64}:
        return b"".join(value.to_bytes(bits // 8, "little" if order == "<" else "big") for value in values)
    text = "".join(f"{value:0{bits}b}" for value in values)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def _differenced_floats(values: list[int], stride: int, bits: int) -> bytes:
    """Adobe Photoshop TIFF Technical Note 3: the bytes by significance, then differences of these."""
    big = [value.to_bytes(bits // 8, "big") for value in values]
    data = b"".join(bytes(one[place] for one in big) for place in range(bits // 8))
    return bytes((byte - (data[at - stride] if at >= stride else 0)) % 256 for at, byte in enumerate(data))


def _subsampled(rows: Samples, across: int, down: int) -> bytes:
    """TIFF 6.0, 21: blocks of across x down luminances, then one Cb and one Cr; edges are repeated."""
    found = bytearray()
    for top in range(0, len(rows), down):
        for left in range(0, len(rows[0]), across):
            block = [
                rows[min(y, len(rows) - 1)][min(x, len(rows[0]) - 1)]
                for y in range(top, top + down)
                for x in range(left, left + across)
            ]
            found += bytes(pixel[0] for pixel in block)
            found += bytes(sum(pixel[one] for pixel in block) // len(block) for one in (1, 2))
    return bytes(found)


def packbits(data: bytes) -> bytes:
    """Literal runs, and repeats of three or more (TIFF 6.0, 9)."""
    found, at = bytearray(), 0
    while at < len(data):
        run = 1
        while run < 128 and at + run < len(data) and data[at + run] == data[at]:
            run += 1
        if run >= 3:
            found += bytes((257 - run, data[at]))
            at += run
        else:
            part = data[at : at + 2]
            found += bytes((len(part) - 1,)) + part
            at += len(part)
    return bytes(found)


def _lzw(data: bytes) -> bytes:
    """TIFF 6.0, 13, with the table cleared before its codes get longer than 9 bits."""
    codes = []
    for at in range(0, len(data), 200):
        codes += [256, *data[at : at + 200]]
    return packed_bits([*codes, 257], 9, ">")


def _zstd(data: bytes) -> bytes:
    """One frame of raw blocks (RFC 8878, 3.1.1)."""
    frame = struct.pack("<IBI", 0xFD2FB528, 0xA0, len(data))
    blocks = [data[at : at + 60_000] for at in range(0, len(data), 60_000)]
    for number, block in enumerate(blocks):
        frame += (len(block) << 3 | (number == len(blocks) - 1)).to_bytes(3, "little") + block
    return frame


def _bytes(data: bytes) -> bytes:
    return data


_COMPRESSIONS: dict[int, Callable[[bytes], bytes]] = {
    RAW: _bytes,
    LZW: _lzw,
    DEFLATE: zlib.compress,
    OLD_DEFLATE: zlib.compress,
    LZMA: lambda data: lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_NONE),
    ZSTD: _zstd,
}
