"""How a JPEG file is built: its segments and scans, by ITU-T T.81 (1992), Annex B. Nothing is decoded.

Used by the format `jpeg` and by the package `jpeg`. What is damaged raises ValueError or IndexError.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
APP0, APP1, APP2, APP14, APP15, COM = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
MAX_CONTENT_BYTES = 0xFFFF - 2
_FILL = 0xFF
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_NEXT_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
"""The marker that ends a scan's data: not a stuffed zero, not a restart marker. It begins with a plain
byte, so that the search jumps from one such byte to the next; fill bytes before it belong to it.
"""
_NO_SCAN = memoryview(b"")


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker's segment: `content` is what follows its length. A scan's data lies in `scan`, a view of the
    file, for it may be most of it.
    """

    marker: int
    content: bytes
    scan: memoryview
    end: int


def segments(data: bytes) -> Iterator[Segment]:
    """Every segment with content, up to the end of the picture; also of a file that just stops there."""
    at = 2
    while (found := _next(data, at)) is not None:
        at = found.end
        if found.marker == SOS:
            at = _scan_end(data, at)
            found = replace(found, scan=memoryview(data)[found.end : at], end=at)
        yield found


def before_scans(data: bytes) -> bytes:
    """All of a file up to its first scan's data; the whole of one that has none, or is damaged before it."""
    at = 2
    try:
        while (found := _next(data, at)) is not None:
            at = found.end
            if found.marker == SOS:
                return data[:at]
    except ValueError:
        pass
    return data


def _next(data: bytes, at: int) -> Segment | None:
    """The next segment with content, a scan's without its data."""
    while (found := _NEXT_MARKER.search(data, at)) is not None and found[1][0] != EOI:
        marker, at = found[1][0], found.end()
        if marker in _STANDALONE:
            continue
        end = at + int.from_bytes(data[at : at + 2], "big")
        if end > len(data) or end < at + 2:
            raise ValueError("a segment has no end")
        return Segment(marker, data[at + 2 : end], _NO_SCAN, end)
    return None


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def lacks_end(data: bytes) -> bool:
    """Whether its last scan is there, or some of it, and nothing after that: no end marker. False for what
    is damaged before.
    """
    if data.endswith(b"\xff\xd9"):
        return False
    try:
        found = list(segments(data))
    except (ValueError, IndexError):
        return False
    if not found or found[-1].marker != SOS:
        return False
    return data.find(b"\xff\xd9", found[-1].end) < 0


def with_end(data: bytes) -> bytes:
    """The file, ended as it should be."""
    return data.rstrip(b"\xff") + b"\xff\xd9"


def _scan_end(data: bytes, at: int) -> int:
    found = _NEXT_MARKER.search(data, at)
    if found is None:
        return len(data)
    end = found.start()
    while end > at and data[end - 1] == _FILL:
        end -= 1
    return end
