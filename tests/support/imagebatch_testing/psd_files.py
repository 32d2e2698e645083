"""Photoshop documents of every layout, byte by byte (Adobe Photoshop File Formats Specification, November 2019)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from imagebatch_testing.tiff_files import packbits

BITMAP, GREY, INDEXED, RGB, CMYK, MULTICHANNEL, DUOTONE, LAB = 0, 1, 2, 3, 4, 7, 8, 9
VERSION_INFO, TRANSPARENT_INDEX, ICC_PROFILE = 1057, 1047, 1039

Plane = list[list[int]]
"""Rows of the values of one channel."""


@dataclass(frozen=True, kw_only=True)
class Document:
    """`layers` below 0 says that the first channel after the colours is the merged picture's transparency."""

    planes: Sequence[Plane]
    mode: int
    depth: int = 8
    compression: int = 0
    layers: int = 0
    palette: bytes = b""
    resources: dict[int, bytes] = field(default_factory=dict)


def psd(document: Document) -> bytes:
    height, width = len(document.planes[0]), len(document.planes[0][0])
    head = b"8BPS" + struct.pack(
        ">H6xHIIHH", 1, len(document.planes), height, width, document.depth, document.mode
    )
    resources = b"".join(_resource(number, document.resources[number]) for number in document.resources)
    sections = [document.palette, resources, _layers(document.layers)]
    return head + b"".join(struct.pack(">I", len(one)) + one for one in sections) + _pixels(document)


def merged_data(has_real: bool) -> dict[int, bytes]:
    """The resource that tells whether the merged picture is one."""
    return {VERSION_INFO: struct.pack(">IBII", 1, has_real, 0, 0) + struct.pack(">I", 1)}


def _resource(number: int, content: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content + bytes(len(content) % 2)


def _layers(count: int) -> bytes:
    """Empty layers without channels: only their number matters here."""
    if not count:
        return b""
    extra = struct.pack(">II", 0, 0) + b"\1x\0\0"
    layer = (
        struct.pack(">4IH", 0, 0, 0, 0, 0)
        + b"8BIMnorm"
        + bytes((255, 0, 0, 0))
        + struct.pack(">I", len(extra))
        + extra
    )
    info = struct.pack(">h", count) + layer * abs(count)
    info += bytes(len(info) % 2)
    return struct.pack(">I", len(info)) + info + struct.pack(">I", 0)


def _pixels(document: Document) -> bytes:
    rows = [_row(row, document.depth) for plane in document.planes for row in plane]
    if document.compression != 1:
        return struct.pack(">H", document.compression) + b"".join(rows)
    packed = [packbits(row) for row in rows]
    lengths = struct.pack(f">{len(packed)}H", *map(len, packed))
    return struct.pack(">H", 1) + lengths + b"".join(packed)


def _row(row: list[int], depth: int) -> bytes:
    if depth == 1:
        text = "".join(map(str, row))
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")
    return b"".join(value.to_bytes(depth // 8, "big") for value in row)
