"""Colour spaces by primaries and transfer function, and their conversion to sRGB.

A space becomes an ICC profile of matrix and curves (ICC.1:2001-04), which Little CMS converts by. The
numbers of primaries and transfer functions are those of ITU-T H.273 (07/2024), tables 2 and 3. Used by
the formats and by `modes`.
"""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageCms

from imagebatch_jobrunner.decoder.errors import rare

Point = tuple[float, float]
Vector = tuple[float, float, float]

_D65: Point = (0.3127, 0.3290)
_C: Point = (0.310, 0.316)
_BT709: tuple[Point, ...] = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65)
_PRIMARIES: dict[int, tuple[Point, ...]] = {
    1: _BT709,
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    6: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    7: ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    8: ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    22: ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
"""Red, green, blue and white, x and y."""
_LIKE_SRGB = frozenset({1, 6, 11, 12, 13, 14, 15})
"""sRGB, and the camera curves of video, which browsers show by sRGB's too: displays have no other for
them.
"""
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
_RARE_TRANSFERS = {16: "HDR (PQ)", 18: "HDR (HLG)"}
_UNSPECIFIED = 2
_STEPS = 1024
_BLACK, _WHITE = 16, 235
_D50: Vector = (0.9642, 1.0, 0.8249)
_BRADFORD = ((0.8951, 0.2664, -0.1614), (-0.7502, 1.7135, 0.0367), (0.0389, -0.0685, 1.0296))


@dataclass(frozen=True, slots=True)
class ColourSpace:
    """`points` are red, green, blue and white; `gamma` is 0 for sRGB's own curve."""

    points: tuple[Point, ...] = _BT709
    gamma: float = 0.0
    is_full_range: bool = True


SRGB = ColourSpace()


def by_h273(primaries: int, transfer: int, format_name: str, *, is_full: bool) -> ColourSpace | None:
    """None where the file leaves them open. Raises CodecError for what is not converted."""
    if transfer in _RARE_TRANSFERS:
        raise rare(format_name, _RARE_TRANSFERS[transfer])
    if _UNSPECIFIED in {primaries, transfer} and primaries not in _PRIMARIES:
        return None
    if primaries not in _PRIMARIES or transfer not in _LIKE_SRGB | _GAMMAS.keys() | {_UNSPECIFIED}:
        raise rare(format_name, f"colour primaries {primaries} with transfer {transfer}")
    gamma = _GAMMAS.get(transfer, 0.0)
    return ColourSpace(_PRIMARIES[primaries], gamma, is_full)


def by_gamma(encoding: float, points: tuple[float, ...]) -> ColourSpace | None:
    """Of PNG's gAMA (0 where there is none) and cHRM: white, red, green, blue, x and y each (or nothing).

    The usual 1/2.2 with sRGB's own primaries stands for sRGB, whose curve it is next to, as in browsers.
    """
    if not points and not encoding:
        return None
    white, *colours = zip(points[::2], points[1::2], strict=True) if points else ((0.0, 0.0),)
    ends = (*colours, white) if points else _BT709
    if not _is_usable(ends):
        return None
    is_usual = _is_near(ends, _BT709) and abs(encoding - 1 / 2.2) < 0.002
    return ColourSpace(ends, 0.0 if not encoding or is_usual else 1 / encoding)


def _is_usable(points: tuple[Point, ...]) -> bool:
    (red, green, blue, white) = points
    area = (green[0] - red[0]) * (blue[1] - red[1]) - (blue[0] - red[0]) * (green[1] - red[1])
    return abs(area) > 0.001 and all(point[1] > 0 for point in points[:2]) and white[1] > 0.01


def is_srgb(space: ColourSpace) -> bool:
    """Whether it differs from sRGB by less than rounding does."""
    return _is_near(space.points, _BT709) and not space.gamma and space.is_full_range


def _is_near(some: tuple[Point, ...], others: tuple[Point, ...]) -> bool:
    return all(
        abs(one - other) < 0.002
        for point, wanted in zip(some, others, strict=True)
        for one, other in zip(point, wanted, strict=True)
    )


def to_srgb(image: Image.Image, space: ColourSpace) -> Image.Image:
    """A picture of L, RGB or RGBA, changed in place where that can be; transparency stays."""
    if not space.is_full_range:
        image = image.point(_widened(image.mode))
    if image.mode == "L" or _is_near(space.points, _BT709):
        return image.point(_curve_table(image.mode, space.gamma)) if space.gamma else image
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile(space))),
        ImageCms.createProfile("sRGB"),
        image.mode,
        image.mode,
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    transform.apply_in_place(image)
    return image


def _widened(mode: str) -> list[int]:
    """From the narrow range of video (16 to 235) to all of 0 to 255."""
    widths = (round((value - _BLACK) * 255 / (_WHITE - _BLACK)) for value in range(256))
    return _table(mode, [max(0, min(255, value)) for value in widths])


def _curve_table(mode: str, gamma: float) -> list[int]:
    """For primaries that are sRGB's: each channel by itself."""
    return _table(mode, [round(255 * _encoded((value / 255) ** gamma)) for value in range(256)])


def _table(mode: str, of_colours: list[int]) -> list[int]:
    """For `Image.point`; transparency stays."""
    return of_colours * (1 if mode == "L" else 3) + (list(range(256)) if mode == "RGBA" else [])


def _encoded(light: float) -> float:
    """sRGB of linear light (IEC 61966-2-1)."""
    return light * 12.92 if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


@cache
def profile(space: ColourSpace) -> bytes:
    """An ICC profile, version 2, with colorant tags and one curve a channel."""
    colorants = _colorants(space.points)
    tags = [
        (b"wtpt", _xyz(_D50)),
        (b"cprt", b"text\0\0\0\0none\0"),
        (b"desc", _description(b"described colours")),
    ]
    for name, colorant in zip((b"r", b"g", b"b"), colorants, strict=True):
        tags += [(name + b"XYZ", _xyz(colorant)), (name + b"TRC", _curve(space.gamma))]
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, content in tags:
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12s4s", start + len(body), b"", 0x02100000, b"mntr", b"RGB ", b"XYZ ", bytes(12), b"acsp"
    )
    head = head.ljust(68, b"\0") + struct.pack(">3i", *(round(one * 65536) for one in _D50))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(values: Vector) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _description(text: bytes) -> bytes:
    return b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + bytes(1 + 4 + 4 + 2 + 1 + 67)


def _curve(gamma: float) -> bytes:
    light: Callable[[float], float] = (lambda value: value**gamma) if gamma else _linear
    values = [round(65535 * light(step / (_STEPS - 1))) for step in range(_STEPS)]
    return b"curv\0\0\0\0" + struct.pack(f">I{_STEPS}H", _STEPS, *values)


def _colorants(points: tuple[Point, ...]) -> list[Vector]:
    """The XYZ of full red, green and blue, adapted to D50 by Bradford's matrix (ICC.1:2001-04, annex E)."""
    *ends, white = [_xyz_of(point) for point in points]
    scale = _times(_inverse(_columns(ends)), white)
    adapt = _adaptation(white)
    return [_times(adapt, tuple(value * by for value in end)) for end, by in zip(ends, scale, strict=True)]


def _adaptation(white: Vector) -> "tuple[Vector, ...]":
    here, there = _times(_BRADFORD, white), _times(_BRADFORD, _D50)
    scaled = tuple(
        tuple(value * wanted / found for value in row)
        for row, found, wanted in zip(_BRADFORD, here, there, strict=True)
    )
    back = _inverse(_BRADFORD)
    return _columns([_times(back, column) for column in zip(*scaled, strict=True)])


def _xyz_of(point: Point) -> Vector:
    x, y = point
    y = y or 1e-6  # the blue of some wide spaces lies on the axis
    return x / y, 1.0, (1 - x - y) / y


def _columns(vectors: "list[Vector]") -> "tuple[Vector, ...]":
    return tuple(zip(*vectors, strict=True))


def _times(matrix: "tuple[Vector, ...]", vector: "tuple[float, ...]") -> Vector:
    a, b, c = (sum(one * other for one, other in zip(row, vector, strict=True)) for row in matrix)
    return a, b, c


def _inverse(matrix: "tuple[Vector, ...]") -> "tuple[Vector, ...]":
    (a, b, c), (d, e, f), (g, h, i) = matrix
    whole = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)
    rows = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    return tuple(tuple(value / whole for value in row) for row in rows)  # type: ignore[misc]
