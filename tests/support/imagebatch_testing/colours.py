"""Colours that a PNG or AVIF describes outside ICC, in sRGB: computed pixel by pixel, by the definitions themselves.

Written apart from the codec, which builds ICC profiles. Formulas: ITU-T H.273 (07/2024), tables 2 and 3, and W3C PNG,
third edition, 11.3.2; sRGB by IEC 61966-2-1.
"""

import math
from collections.abc import Callable
from typing import cast

from PIL import Image

Triple = tuple[float, float, float]
Matrix = tuple[tuple[float, ...], ...]

BT709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
BT2020 = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290)
P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290)
ADOBE = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, 0.3127, 0.3290)
"""Red, green, blue and white."""
_PRIMARIES = {1: BT709, 9: BT2020, 12: P3}


def srgb_light(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else math.pow((value + 0.055) / 1.055, 2.4)


def srgb_value(light: float) -> float:
    light = min(1.0, max(0.0, light))
    return light * 12.92 if light <= 0.0031308 else 1.055 * math.pow(light, 1 / 2.4) - 0.055


def power(gamma: float) -> Callable[[float], float]:
    return lambda value: math.pow(value, gamma)


_TRANSFERS: dict[int, Callable[[float], float]] = {
    1: srgb_light,
    4: power(2.2),
    8: power(1.0),
    13: srgb_light,
}


def described_in_srgb(image: Image.Image, data: bytes) -> Image.Image:
    """RGBA of a PNG file whose chunks tell of its colours, and no profile does."""
    chunks = _chunks(data)
    if "cICP" in chunks:
        number, transfer, _, _ = chunks["cICP"]
        return converted(image, _PRIMARIES[number], _TRANSFERS[transfer])
    if "iCCP" in chunks or "sRGB" in chunks or not {"gAMA", "cHRM"} & chunks.keys():
        return image
    gamma = int.from_bytes(chunks["gAMA"], "big") / 100_000 if "gAMA" in chunks else 0
    points = [int.from_bytes(chunks.get("cHRM", b"")[at : at + 4], "big") / 100_000 for at in range(0, 32, 4)]
    primaries = (*points[2:], *points[:2]) if "cHRM" in chunks else BT709
    return converted(image, primaries, power(1 / gamma) if gamma else srgb_light)


def converted(
    image: Image.Image, primaries: tuple[float, ...], light_of: Callable[[float], float]
) -> Image.Image:
    """Relative to each white, so that white stays white."""
    lights = [light_of(value / 255) for value in range(256)]
    rows = (
        _product(_inverted(_to_xyz(BT709)), _to_xyz(primaries))
        if primaries[6:] == BT709[6:]
        else _adapted(primaries)
    )
    known: dict[tuple[int, ...], tuple[int, ...]] = {}

    def pixel(of: tuple[int, ...]) -> tuple[int, ...]:
        if of not in known:
            light = [lights[value] for value in of[:3]]
            mixed = [sum(one * other for one, other in zip(row, light, strict=True)) for row in rows]
            known[of] = (*(round(255 * srgb_value(value)) for value in mixed), *of[3:])
        return known[of]

    found = Image.new(image.mode, image.size)
    pixels = cast("tuple[tuple[int, ...], ...]", image.get_flattened_data())
    found.putdata([pixel(of) for of in pixels])
    return found


def _adapted(primaries: tuple[float, ...]) -> Matrix:
    """By von Kries in XYZ, which is near enough to Bradford's for a bound of some levels."""
    here, there = (_xyz(*points[6:8]) for points in (primaries, BT709))
    scale = tuple(wanted / found for wanted, found in zip(there, here, strict=True))
    rows = _to_xyz(primaries)
    return _product(
        _inverted(_to_xyz(BT709)),
        tuple(tuple(value * by for value in row) for row, by in zip(rows, scale, strict=True)),
    )


def _xyz(x: float, y: float) -> Triple:
    return x / y, 1.0, (1 - x - y) / y


def _to_xyz(points: tuple[float, ...]) -> Matrix:
    columns = [_xyz(*points[at : at + 2]) for at in (0, 2, 4)]
    rows: Matrix = tuple(zip(*columns, strict=True))
    white = _xyz(*points[6:8])
    strengths = [sum(one * other for one, other in zip(row, white, strict=True)) for row in _inverted(rows)]
    return tuple(tuple(value * by for value, by in zip(row, strengths, strict=True)) for row in rows)


def _product(one: Matrix, other: Matrix) -> Matrix:
    return tuple(
        tuple(sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*other, strict=True))
        for row in one
    )


def _inverted(rows: Matrix) -> Matrix:
    """By Cramer's rule."""

    def minor(down: int, across: int) -> float:
        a, b = ((down + 1) % 3, (down + 2) % 3), ((across + 1) % 3, (across + 2) % 3)
        return rows[a[0]][b[0]] * rows[a[1]][b[1]] - rows[a[0]][b[1]] * rows[a[1]][b[0]]

    whole = sum(rows[0][across] * minor(0, across) for across in range(3))
    return tuple(tuple(minor(across, down) / whole for across in range(3)) for down in range(3))


def _chunks(data: bytes) -> dict[str, bytes]:
    found, at = {}, 8
    while at + 8 <= len(data) and data[at + 4 : at + 8] != b"IDAT":
        length = int.from_bytes(data[at : at + 4], "big")
        found[data[at + 4 : at + 8].decode("latin-1")] = data[at + 8 : at + 8 + length]
        at += 12 + length
    return found
