"""Little pictures by formula, and how a compressed file differs from one: for the tables of layouts.

A picture is rows of pixels of 8-bit R, G, B and perhaps alpha.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from PIL import Image

from imagebatch.options import Compression
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits

WIDTH, HEIGHT = 37, 29
Pixel = tuple[int, ...]
Rows = list[list[Pixel]]


def rows(pixel: Callable[[int, int], Pixel], width: int = WIDTH, height: int = HEIGHT) -> Rows:
    return [[pixel(x, y) for x in range(width)] for y in range(height)]


def rgb(x: int, y: int) -> Pixel:
    """Red rises to the right, green falls downwards, blue is in squares: no turn or mirror image is like it."""
    return 40 + 5 * x, 230 - 6 * y, x * y * 7 % 256 if (x // 8 + y // 8) % 2 else 60


def smooth(x: int, y: int) -> Pixel:
    return 40 + 5 * x, 230 - 6 * y, 90


def grey(x: int, y: int) -> int:
    return 20 + 3 * x + 4 * y


def alpha(x: int, y: int) -> int:
    return 255 if x < 20 else 100 if y < 15 else 0


def scaled(pixel: Pixel, bits: int) -> Pixel:
    """The same shades in so many bits."""
    return tuple(round(value * ((1 << bits) - 1) / 255) for value in pixel)


def coarse(pixel: Pixel, bits: int) -> Pixel:
    """As 8-bit shades, what is left of them in so many bits."""
    return tuple(round(value * 255 / ((1 << bits) - 1)) for value in scaled(pixel, bits))


def premultiplied(pixel: Pixel, by: int) -> Pixel:
    return tuple(round(value * by / 255) for value in pixel)


GREYS: Rows = rows(lambda x, y: 3 * (grey(x, y),))
COLOURS: Rows = rows(rgb)
CLEAR: Rows = rows(lambda x, y: (*rgb(x, y), alpha(x, y)))
CLEAR_GREYS: Rows = rows(lambda x, y: (*3 * (grey(x, y),), alpha(x, y)))


@dataclass(frozen=True)
class Outcome:
    """What became of a file: how far its pixels are from the wanted ones, or what it was refused for."""

    mean: float = 0.0
    refusal: str = ""
    notes: tuple[str, ...] = ()


def outcome(data: bytes, wanted: Rows) -> Outcome:
    """Through `compress_image`, as PNG. A picture of another size differs by 255."""
    try:
        result = compress_image(data, Compression(format="png", quality="100"), PictureLimits())
    except CodecError as error:
        return Outcome(refusal=f"{error.code}: {error.message}")
    with Image.open(io.BytesIO(result.data)) as image:
        found = image.convert("RGBA")
    if found.size != (len(wanted[0]), len(wanted)):
        return Outcome(mean=255.0)
    pixels = [pixel for row in wanted for pixel in row]
    given = [found.getpixel((x, y)) for y in range(found.height) for x in range(found.width)]
    differences = [_difference(one, other) for one, other in zip(given, pixels, strict=True)]
    return Outcome(mean=sum(differences) / len(differences), notes=result.notes)


def _difference(given: object, wanted: Pixel) -> float:
    """The mean of the channels; of what is wholly transparent only that it is."""
    assert isinstance(given, tuple)
    if len(wanted) == 4 and wanted[3] == 0:
        return float(cast("int", given[3]))
    full = (*wanted, 255)[:4]
    return float(sum(abs(one - other) for one, other in zip(given, full, strict=True)) / 4)
