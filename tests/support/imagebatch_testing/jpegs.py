"""What a JPEG that keeps its size becomes, which the installation decides: it has a requantiser or has none."""

import io
import re
from typing import Any

from PIL import Image

from imagebatch_jobrunner.decoder.jpeg import requantiser

HAS_REQUANTISER = requantiser.is_available()
NOTES = ("requantised",) if HAS_REQUANTISER else ()
"""Of a JPEG made of one."""


def opened(data: bytes) -> Image.Image:
    """The decoded image."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


_FRAME = re.compile(rb"\xff\xc0\0.\x08(..)", re.DOTALL)
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")


def repeated(strip: Image.Image, times: int, **options: Any) -> bytes:
    """A baseline JPEG of the picture so many times below itself, made without holding all its pixels: each row
    of blocks is a restart interval, so that rows may follow in any number.
    """
    file = io.BytesIO()
    strip.save(file, "JPEG", restart_marker_rows=1, **options)
    data = file.getvalue()
    scan_at = data.index(b"\xff\xda")
    data_at = scan_at + 2 + int.from_bytes(data[scan_at + 2 : scan_at + 4], "big")
    rows = _RESTART.split(data[data_at:-2]) * times
    height_at = next(_FRAME.finditer(data)).start(1)
    height = (strip.height * times).to_bytes(2, "big")
    parts = [data[:height_at], height, data[height_at + 2 : data_at], rows[0]]
    for number, row in enumerate(rows[1:]):
        parts += (bytes((0xFF, 0xD0 + number % 8)), row)
    return b"".join([*parts, b"\xff\xd9"])
