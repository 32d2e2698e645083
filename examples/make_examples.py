"""Draw the example shop: its pictures, the broken files, and the two product lists.

    python make_examples.py [--base-url http://127.0.0.1:8091] [--out DIR]

Everything is drawn here, from nothing but Pillow. All chance is seeded with the name of the
picture, so the same Pillow gives the same bytes on every run.

A product is drawn on a sheet of 100 by 100 units, the origin at the top left. Its picture shows
that sheet, or a part of it, in front of a backdrop.
"""

import argparse
import csv
import io
import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from urllib.parse import quote

from PIL import (
    ExifTags,
    Image,
    ImageChops,
    ImageCms,
    ImageColor,
    ImageDraw,
    ImageFilter,
    ImageFont,
    ImageOps,
)

Point = tuple[float, float]
Box = tuple[float, float, float, float]
Size = tuple[int, int]
Tones = tuple[float, ...]

SUPERSAMPLING = 2

# ---------------------------------------------------------------------------------------- paint

# How light runs over a surface, from edge to edge: -1 is its darkest, 0 its colour, 1 its lightest.
FLAT: Tones = (0.0,)
ROUND: Tones = (-0.75, -0.25, 0.15, 0.55, 0.3, 0.05, -0.1, -0.3, -0.6, -0.85)
CLOTH: Tones = (-0.3, 0.1, 0.2, 0.05, -0.08, 0.1, 0.15, -0.05, -0.35)
METAL: Tones = (-0.5, 0.8, 0.1, -0.4, 0.2, 0.7, -0.1, -0.7)
FALLING: Tones = (0.5, 0.15, 0.0, -0.2, -0.5)
DIMPLED: Tones = (-0.6, -0.2, 0.1, 0.35)


def mixed(colour: str, other: str, share: float) -> tuple[int, int, int]:
    """Return the colour with a share of the other stirred in."""
    pairs = zip(ImageColor.getrgb(colour)[:3], ImageColor.getrgb(other)[:3], strict=True)
    red, green, blue = (round(a + (b - a) * share) for a, b in pairs)
    return red, green, blue


def toned(colour: str, share: float, other: str = "#14121a") -> str:
    """Return the colour darkened, or drawn to the other one, as a colour name."""
    return "#{:02x}{:02x}{:02x}".format(*mixed(colour, other, share))


@dataclass(frozen=True)
class Paint:
    """A colour and the light on it; the tones run left to right, or top to bottom."""

    colour: str
    tones: Tones = FLAT
    down: bool = False
    opacity: float = 1.0

    def spread(self, size: Size) -> Image.Image:
        """Return an area of this size in this paint."""
        levels = bytes(round(127 + 127 * tone) for tone in self.tones)
        ramp = Image.frombytes("L", (len(levels), 1), levels)
        ramp = ramp.transpose(Image.Transpose.ROTATE_270) if self.down else ramp
        dark, light = mixed(self.colour, "#14121a", 0.62), mixed(self.colour, "#ffffff", 0.6)
        tone = ramp.resize(size, Image.Resampling.BICUBIC)
        return ImageOps.colorize(tone, black=dark, mid=mixed(self.colour, "#000", 0), white=light)


# ---------------------------------------------------------------------------------------- shapes

# For what a product has on the left and on the right: where x lies on that side.
BOTH_SIDES: tuple[Callable[[float], float], ...] = (lambda x: x, lambda x: 100 - x)


def mirrored(left: Sequence[Point]) -> list[Point]:
    """Close a left half, given from top to bottom, with its mirror image."""
    return [*left, *((100 - x, y) for x, y in reversed(left))]


def smooth(points: Sequence[Point], steps: int = 12) -> list[Point]:
    """Return a closed Catmull-Rom curve through the points."""
    count = len(points)
    corners = [[points[(i + k) % count] for k in range(-1, 3)] for i in range(count)]
    return [between(four, step / steps) for four in corners for step in range(steps)]


def between(four: Sequence[Point], t: float) -> Point:
    """Return the point at t, from 0 to 1, between the second and the third of four points."""
    x, y = (blend(axis, t) for axis in zip(*four, strict=True))
    return x, y


def blend(values: tuple[float, ...], t: float) -> float:
    """Return the Catmull-Rom polynomial over four values at t."""
    a, b, c, d = values
    slope, square, cube = c - a, 2 * a - 5 * b + 4 * c - d, 3 * b - a - 3 * c + d
    return (2 * b + slope * t + square * t**2 + cube * t**3) / 2


def leaf(root: Point, angle: float, length: float, width: float) -> list[Point]:
    """Return the outline of a leaf that grows from its root at an angle in degrees."""
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    shape = [(0, 0), (0.35, 0.5), (0.7, 0.38), (1, 0), (0.7, -0.38), (0.35, -0.5)]
    rooted = [(along * length, across * width) for along, across in shape]
    return [(root[0] + u * sine + v * cosine, root[1] - u * cosine + v * sine) for u, v in rooted]


# ---------------------------------------------------------------------------------------- sheet


class Sheet:
    """A transparent sheet of 100 by 100 units to draw a product on."""

    def __init__(self, side: int, rng: Random) -> None:
        """Lay out an empty sheet, side pixels wide and high."""
        self.image = Image.new("RGBA", (side, side))
        self.unit = side / 100
        self.rng = rng

    def polygon(
        self, points: Sequence[Point], paint: Paint, *, soften: float = 0, inside: bool = False
    ) -> None:
        """Fill a polygon; soften rounds its corners, inside keeps to what is drawn already."""
        mask, draw = self._stencil()
        draw.polygon(self._scaled(points), fill=255)
        if soften:
            blurred = mask.filter(ImageFilter.GaussianBlur(soften * self.unit))
            mask = blurred.point([0] * 128 + [255] * 128)
        self._fill(mask, paint, inside=inside)

    def blob(self, points: Sequence[Point], paint: Paint, *, inside: bool = False) -> None:
        """Fill a smooth outline through the points."""
        self.polygon(smooth(points), paint, inside=inside)

    def lathe(self, profile: Sequence[Point], paint: Paint) -> None:
        """Fill a turned body: the profile is (height, radius) pairs from top to bottom."""
        self.blob(mirrored([(50 - radius, height) for height, radius in profile]), paint)

    def box(self, box: Box, paint: Paint, *, radius: float = 0, inside: bool = False) -> None:
        """Fill a box with rounded corners."""
        mask, draw = self._stencil()
        draw.rounded_rectangle(self._extent(box), radius * self.unit, fill=255)
        self._fill(mask, paint, inside=inside)

    def ellipse(self, box: Box, paint: Paint, *, inside: bool = False) -> None:
        """Fill an ellipse."""
        mask, draw = self._stencil()
        draw.ellipse(self._extent(box), fill=255)
        self._fill(mask, paint, inside=inside)

    def ring(
        self, box: Box, width: float, paint: Paint, *, arc: Point = (0, 360), inside: bool = False
    ) -> None:
        """Draw the border of an ellipse, or an arc of it in degrees clockwise from the right."""
        mask, draw = self._stencil()
        draw.arc(self._extent(box), *arc, fill=255, width=round(width * self.unit))
        self._fill(mask, paint, inside=inside)

    def line(self, points: Sequence[Point], width: float, paint: Paint, *, inside: bool = False) -> None:
        """Draw a line with round ends and joints."""
        mask, draw = self._stencil()
        pixels, thick = self._scaled(points), max(1, round(width * self.unit))
        draw.line(pixels, fill=255, width=thick, joint="curve")
        for x, y in (pixels[0], pixels[-1]) if thick > 2 else ():
            draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=255)
        self._fill(mask, paint, inside=inside)

    def text(self, at: Point, words: str, height: float, colour: str) -> None:
        """Write words, centred on a point."""
        mask, draw = self._stencil()
        font = ImageFont.load_default(height * self.unit)
        draw.text(self._scaled([at])[0], words, fill=255, font=font, anchor="mm", align="center")
        self._fill(mask, Paint(colour), inside=False)

    def glow(self, box: Box, colour: str, opacity: float, *, blur: float = 3, inside: bool = True) -> None:
        """Cast a soft patch of light or shade on what is drawn already, or around it too."""
        mask, draw = self._stencil()
        draw.ellipse(self._extent(box), fill=255)
        soft = mask.filter(ImageFilter.GaussianBlur(blur * self.unit))
        self._fill(soft, Paint(colour, opacity=opacity), inside=inside)

    def erase(self, box: Box) -> None:
        """Cut an ellipse out of what is drawn."""
        mask, draw = self._stencil()
        draw.ellipse(self._extent(box), fill=255)
        self.image.putalpha(ImageChops.subtract(self.image.getchannel("A"), mask))

    def _fill(self, mask: Image.Image, paint: Paint, *, inside: bool) -> None:
        extent = mask.getbbox()
        if extent is None:
            return
        cut = mask.crop(extent).point([round(paint.opacity * level) for level in range(256)])
        if inside:
            cut = ImageChops.multiply(cut, self.image.crop(extent).getchannel("A"))
        layer = paint.spread(cut.size).convert("RGBA")
        layer.putalpha(cut)
        self.image.alpha_composite(layer, extent[:2])

    def _stencil(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        mask = Image.new("L", self.image.size)
        return mask, ImageDraw.Draw(mask)

    def _scaled(self, points: Iterable[Point]) -> list[Point]:
        return [(x * self.unit, y * self.unit) for x, y in points]

    def _extent(self, box: Box) -> Box:
        left, top, right, bottom = (edge * self.unit for edge in box)
        return left, top, right, bottom


Drawing = Callable[[Sheet], None]

# ---------------------------------------------------------------------------------------- clothes


def shirt(sheet: Sheet, colour: str, *, back: bool = False, hoop: str = "", words: str = "") -> None:
    """Draw a T-shirt lying flat."""
    outline = mirrored([(39, 12), (25, 17), (7, 40), (19, 48), (27, 38), (28.5, 65), (27, 91)])
    sheet.polygon(outline, Paint(colour, CLOTH), soften=1.2)
    hoops(sheet, hoop)
    folds(sheet)
    seams(sheet, colour)
    collar(sheet, colour, back=back)
    if words and not back:
        sheet.text((50, 44), words, 7, "#f6f1e4")


def hoops(sheet: Sheet, colour: str) -> None:
    """Draw stripes across the body of a shirt."""
    for height in range(22, 92, 7) if colour else ():
        wave = [(x, height + 0.5 * math.sin(x / 7)) for x in range(0, 101, 2)]
        sheet.line(wave, 2.4, Paint(colour, CLOTH), inside=True)


def folds(sheet: Sheet) -> None:
    """Lay soft folds over cloth."""
    for _ in range(14):
        x, y = sheet.rng.uniform(22, 76), sheet.rng.uniform(25, 80)
        patch = (x, y, x + sheet.rng.uniform(1, 3), y + sheet.rng.uniform(10, 26))
        sheet.glow(patch, sheet.rng.choice(("#000000", "#ffffff")), 0.2, blur=1.6)


def seams(sheet: Sheet, colour: str) -> None:
    """Draw the seams of sleeves and hems."""
    thread = Paint(toned(colour, 0.35))
    for side in BOTH_SIDES:
        sheet.line([(side(25.5), 17), (side(28.5), 28), (side(27), 38)], 0.35, thread, inside=True)
        sheet.line([(side(9), 36.5), (side(21.5), 45)], 0.25, thread, inside=True)
    sheet.line([(20, 88), (80, 88)], 0.25, thread, inside=True)
    sheet.line([(20, 88.8), (80, 88.8)], 0.25, thread, inside=True)


def collar(sheet: Sheet, colour: str, *, back: bool) -> None:
    """Cut the neck of a shirt and sew its collar on."""
    low = 16 if back else 23
    sheet.ellipse((39.5, 6, 60.5, low), Paint(toned(colour, 0.5), FALLING, down=True), inside=True)
    sheet.erase((40.5, 4, 59.5, 14.5))
    sheet.ring((38.5, 5, 61.5, low + 1), 1.8, Paint(toned(colour, 0.12), CLOTH), inside=True)
    if not back:
        sheet.box((48, 15, 52, 17.2), Paint("#f4f4f0"), radius=0.3, inside=True)


def shoe(sheet: Sheet, colour: str, accent: str) -> None:
    """Draw a running shoe from its outer side."""
    upper = [(9, 52), (12, 39), (20, 36), (27, 43), (37, 38), (46, 40), (58, 51), (76, 58)]
    sheet.blob([*upper, (91, 65), (93, 73), (50, 76), (9, 73)], Paint(colour, FALLING, down=True))
    sheet.blob([(10, 42), (21, 37), (28, 44), (22, 47)], Paint(toned(colour, 0.6)))
    sheet.blob([(74, 60), (88, 64), (94, 73), (76, 75)], Paint(toned(colour, 0.25)), inside=True)
    sheet.polygon([(28, 70), (60, 60), (55, 66), (33, 76), (24, 76)], Paint(accent), inside=True)
    sheet.blob([(8, 51), (14, 53), (17, 70), (8, 72)], Paint(accent, FALLING), inside=True)
    mesh(sheet)
    sheet.glow((34, 42, 70, 58), "#ffffff", 0.22, blur=4)
    laces(sheet)
    sole(sheet, accent)


def mesh(sheet: Sheet) -> None:
    """Lay a fine net over what is drawn."""
    for x in range(0, 140, 2):
        sheet.line([(x, 30), (x - 40, 80)], 0.15, Paint("#000000", opacity=0.22), inside=True)
        sheet.line([(x - 40, 30), (x, 80)], 0.15, Paint("#ffffff", opacity=0.16), inside=True)


def laces(sheet: Sheet) -> None:
    """Draw the laces of a shoe."""
    for step in range(5):
        x, y = 40 + step * 5, 41.5 + step * 3.4
        sheet.line([(x - 4, y + 6), (x + 2.5, y - 1)], 1.5, Paint("#e9e7e2", FALLING, down=True))


def sole(sheet: Sheet, accent: str) -> None:
    """Put a shoe on its sole."""
    edge = [(6, 70), (30, 73), (60, 74), (95, 71), (97, 76), (88, 82), (50, 81), (10, 82), (5, 77)]
    sheet.blob(edge, Paint("#f3f1ec", FALLING, down=True))
    sheet.line([(7, 77), (40, 77.5), (94, 77)], 0.7, Paint(accent))
    for x in range(10, 90, 5):
        sheet.line([(x, 79.8), (x + 2, 82)], 0.6, Paint("#8d8a86"), inside=True)


def backpack(sheet: Sheet, colour: str, *, back: bool = False) -> None:
    """Draw a canvas backpack."""
    sheet.ring((40, 5, 60, 25), 2, Paint(toned(colour, 0.5), ROUND), arc=(180, 360))
    sheet.polygon(mirrored([(33, 12), (24, 24), (21, 60), (22, 90)]), Paint(colour, CLOTH), soften=3)
    sheet.glow((18, 70, 82, 95), "#000000", 0.3, blur=6)
    folds(sheet)
    (straps if back else pockets)(sheet, colour)


def straps(sheet: Sheet, colour: str) -> None:
    """Draw the shoulder straps on the back of a backpack."""
    sheet.box((30, 25, 70, 80), Paint(toned(colour, 0.2), CLOTH), radius=5, inside=True)
    for side in BOTH_SIDES:
        path = [(side(42), 18), (side(34), 36), (side(31), 60), (side(27), 84)]
        sheet.line(path, 7, Paint(toned(colour, 0.45), ROUND))
        sheet.line(path, 0.4, Paint(toned(colour, 0.1)))
        sheet.box((side(30) - 4, 64, side(30) + 4, 69), Paint("#3a3733", METAL), radius=1)


def pockets(sheet: Sheet, colour: str) -> None:
    """Draw the pocket, flap and buckles on the front of a backpack."""
    leather = Paint("#7a4a2a", ROUND)
    sheet.box((28, 56, 72, 86), Paint(toned(colour, 0.12), CLOTH), radius=3)
    sheet.line([(31, 62), (69, 62)], 0.9, Paint("#2e2a26", METAL))
    sheet.polygon(
        [(23, 22), (77, 22), (76, 44), (50, 49), (24, 44)],
        Paint(toned(colour, 0.06), FALLING, down=True),
        soften=2,
    )
    for x in (36, 64):
        sheet.box((x - 2, 28, x + 2, 58), leather, radius=1)
        sheet.box((x - 3, 50, x + 3, 55), Paint("#c9a45a", METAL), radius=0.8)
    sheet.box((43, 68, 57, 76), leather, radius=1)
    sheet.text((50, 72), "TRAMP", 3.4, "#f0dfc0")


def sunglasses(sheet: Sheet, frame: str, lens: str) -> None:
    """Draw sunglasses from the front; their lenses let some light through."""
    for side in BOTH_SIDES:
        outline = [
            (side(9), 40),
            (side(28), 37),
            (side(45), 41),
            (side(43), 57),
            (side(28), 64),
            (side(12), 57),
        ]
        sheet.blob(outline, Paint(lens, FALLING[::-1], down=True, opacity=0.82))
        sheet.glow((side(20) - 5, 41, side(20) + 5, 47), "#ffffff", 0.45, blur=2)
        closed = [*smooth(outline), outline[0]]
        sheet.line(closed, 2.2, Paint(frame, METAL))
        sheet.polygon([(side(3), 39), (side(11), 38), (side(10), 45)], Paint(frame), soften=0.6)
    sheet.ring((44, 41, 56, 54), 2, Paint(frame, METAL), arc=(200, 340))


# ---------------------------------------------------------------------------------------- table


def mug(sheet: Sheet, colour: str, words: str = "", *, ink: str = "#fffaf0", left: bool = False) -> None:
    """Draw a mug full of coffee."""
    handle = (12, 37, 38, 70) if left else (62, 37, 88, 70)
    sheet.ring(handle, 5, Paint(toned(colour, 0.1), FALLING, down=True))
    body = mirrored([(24, 26), (24.3, 60), (25.5, 76), (28, 83), (34, 86), (44, 87)])
    sheet.polygon(body, Paint(colour, ROUND), soften=2)
    sheet.ellipse((24, 20, 76, 32), Paint(toned(colour, 0.4, "#ffffff"), ROUND[::-1]))
    sheet.ellipse((26, 21.5, 74, 31), Paint("#f1ece4", DIMPLED, down=True))
    sheet.ellipse((27.5, 24.5, 72.5, 31), Paint("#3c2113", FALLING))
    sheet.ring((27.5, 24.5, 72.5, 31), 0.6, Paint("#a8794f"))
    sheet.glow((34, 36, 38, 78), "#ffffff", 0.5, blur=1.6)
    sheet.text((51, 57), words, 6.4, ink)


def cathedral_mug(sheet: Sheet) -> None:
    """Draw a souvenir mug with the two spires of a cathedral."""
    mug(sheet, CREAM)
    ink = Paint(RED)
    sheet.polygon([(45, 68), (45, 58), (50.5, 52), (56, 58), (56, 68)], ink)
    for x in (45, 56):
        sheet.polygon([(x - 3.6, 68), (x - 3.2, 54), (x, 39), (x + 3.2, 54), (x + 3.6, 68)], ink)
        for height in (56, 60, 64):
            sheet.box((x - 1.6, height, x + 1.6, height + 2.4), Paint(CREAM), radius=0.8)
    sheet.ellipse((48.7, 57, 52.3, 60.6), Paint(CREAM))
    sheet.text((50.5, 74), "ALAAF", 5.4, RED)


def vase(sheet: Sheet, colour: str) -> None:
    """Draw a glazed vase."""
    profile = [(10, 9), (13, 8), (24, 6.5), (36, 12), (54, 25), (70, 25), (84, 15), (90, 12), (91, 6)]
    sheet.lathe(profile, Paint(colour, ROUND))
    for height, reach in ((47, 22), (50, 25), (74, 24)):
        sheet.ring(
            (50 - reach, height - 3, 50 + reach, height + 3),
            0.7,
            Paint(toned(colour, 0.35)),
            arc=(0, 180),
            inside=True,
        )
    sheet.ellipse((41, 8, 59, 12.5), Paint(toned(colour, 0.15, "#ffffff"), ROUND[::-1]))
    sheet.ellipse((43, 9, 57, 11.9), Paint(toned(colour, 0.75)))
    sheet.glow((33, 48, 39, 72), "#ffffff", 0.6, blur=2)


def bottle(sheet: Sheet, glass: str, words: str) -> None:
    """Draw a bottle with a label."""
    profile = [(8, 4), (10, 4.3), (28, 4.3), (38, 13), (44, 15), (70, 15), (90, 14.6), (93, 11)]
    sheet.lathe(profile, Paint(glass, ROUND))
    sheet.box((45, 5, 55, 15), Paint("#c9a45a", METAL), radius=0.8)
    sheet.box((34.9, 52, 65.1, 80), Paint("#f2ead6", ROUND))
    sheet.box((34.9, 53.2, 65.1, 53.8), Paint("#8a6a2f"))
    sheet.box((34.9, 78.2, 65.1, 78.8), Paint("#8a6a2f"))
    sheet.text((50, 63), words, 3.5, "#4b3a1a")
    for angle in range(-60, 61, 30):
        sheet.polygon(leaf((50, 76), angle, 5, 2.4), Paint("#6d7f3a"))
    sheet.glow((38, 40, 40, 88), "#ffffff", 0.55, blur=0.9)


def pot(sheet: Sheet, colour: str) -> None:
    """Draw a flower pot with a plant in it."""
    for angle in (-70, 68, -48, 50, -30, 28, -12, 14, 0):
        green = sheet.rng.choice(("#3f7d3a", "#56984a", "#2f6a3c"))
        shape = leaf((50 + angle / 8, 56), angle, sheet.rng.uniform(34, 46), 13)
        sheet.blob(shape, Paint(green, DIMPLED, down=True))
        rib = [shape[0], shape[3]]
        sheet.line(rib, 0.4, Paint(toned(green, 0.4, "#ffffff")))
    sheet.lathe([(58, 20), (66, 19), (80, 15), (91, 13), (93, 10)], Paint(colour, ROUND))
    sheet.box((27, 53, 73, 62), Paint(toned(colour, 0.1, "#ffffff"), ROUND), radius=2)
    sheet.glow((36, 66, 39, 86), "#ffffff", 0.6, blur=1.4)


# ---------------------------------------------------------------------------------------- room


def lamp(sheet: Sheet, colour: str, *, lit: bool = False) -> None:
    """Draw a desk lamp with two arms."""
    if lit:
        sheet.glow((44, 40, 100, 92), "#ffe9a8", 0.75, blur=9, inside=False)
    arm, joint = Paint(toned(colour, 0.15), METAL), Paint(toned(colour, 0.3, "#ffffff"), METAL)
    sheet.ellipse((14, 85, 50, 93), Paint(toned(colour, 0.3)))
    sheet.ellipse((14, 83, 50, 91), Paint(colour, METAL))
    sheet.line([(32, 86), (22, 50), (58, 20)], 2.2, arm)
    for x, y in ((32, 86), (22, 50), (58, 20)):
        sheet.ellipse((x - 2.6, y - 2.6, x + 2.6, y + 2.6), joint)
    shade(sheet, colour, lit=lit)


def shade(sheet: Sheet, colour: str, *, lit: bool) -> None:
    """Draw the shade of a desk lamp, and its bulb."""
    bulb = "#fff6cf" if lit else "#e9e6df"
    sheet.ellipse((65, 38, 79, 51), Paint(bulb, FALLING))
    sheet.blob(
        [(54, 22), (60, 15), (69, 18), (85, 33), (89, 43), (72, 43), (56, 45), (53, 34)], Paint(colour, ROUND)
    )
    sheet.ellipse((54, 39, 90, 48), Paint(bulb if lit else toned(colour, 0.55), DIMPLED))
    sheet.ellipse((66, 40, 78, 50), Paint(bulb, FALLING, down=True))
    sheet.glow((60, 22, 64, 36), "#ffffff", 0.4, blur=1.5)


def chair(sheet: Sheet, wood: str, seat: str, *, back: bool = False) -> None:
    """Draw a wooden chair from the front or the back."""
    dark = Paint(toned(wood, 0.35), ROUND)
    for post in (31, 66):
        sheet.polygon([(post, 56), (post + 3, 56), (post + 3, 82), (post + 0.5, 82)], dark)
    cushion_top(sheet, seat)
    backrest(sheet, wood)
    if back:
        sheet.box((26, 57, 74, 61), Paint(wood, FALLING, down=True), radius=1)
    for left, right, foot in ((24, 28.5, 22), (71.5, 76, 75)):
        sheet.polygon([(left, 60), (right, 60), (foot + 3, 93), (foot, 93)], Paint(wood, ROUND))
    sheet.box((26, 74, 74, 76), Paint(wood, FALLING, down=True), radius=0.8)
    wood_grain(sheet)


def cushion_top(sheet: Sheet, colour: str) -> None:
    """Draw the upholstered seat of a chair."""
    sheet.polygon([(30, 50), (70, 50), (79, 60), (21, 60)], Paint(colour, CLOTH), soften=1.5)
    sheet.box((21, 59, 79, 63), Paint(toned(colour, 0.3), CLOTH), radius=1.8)
    sheet.glow((36, 51, 64, 56), "#ffffff", 0.3, blur=2.5)


def backrest(sheet: Sheet, wood: str) -> None:
    """Draw the back of a chair: two posts, a rail and spindles."""
    for x in (38, 44, 50, 56, 62):
        sheet.line([(x, 18), (x, 51)], 1.6, Paint(toned(wood, 0.12), ROUND))
    for bottom, top in ((29, 26), (71, 74)):
        sheet.line([(bottom, 54), (top, 12)], 3.4, Paint(wood, ROUND))
    rail = [(25, 10), (50, 7), (75, 10), (75, 20), (50, 17.5), (25, 20)]
    sheet.polygon(rail, Paint(wood, FALLING, down=True), soften=1.2)


def wood_grain(sheet: Sheet) -> None:
    """Draw the grain of wood over what is drawn."""
    for _ in range(60):
        x, y = sheet.rng.uniform(20, 76), sheet.rng.uniform(6, 92)
        streak = [(x, y), (x + 0.3, y + sheet.rng.uniform(3, 9))]
        sheet.line(streak, 0.18, Paint("#3a2410", opacity=0.35), inside=True)


def clock(sheet: Sheet, rim: str, *, dark: bool = False) -> None:
    """Draw a station clock."""
    face, ink = ("#23262b", "#f4f2ec") if dark else ("#fbfaf6", "#1d1d1f")
    sheet.ellipse((8, 8, 92, 92), Paint(rim, METAL))
    sheet.ellipse((12, 12, 88, 88), Paint(face, FALLING[1:4], down=True))
    for minute in range(60):
        long = minute % 5 == 0
        sheet.line(hand(minute, 29 if long else 33, 35.5), 1.8 if long else 0.5, Paint(ink))
    sheet.line(hand(50.8, -5, 20), 2.8, Paint(ink))
    sheet.line(hand(8, -6, 31), 2, Paint(ink))
    sheet.line(hand(32, -9, 27), 0.7, Paint("#c8202c"))
    sheet.ellipse((47.6, 47.6, 52.4, 52.4), Paint("#c8202c", FALLING, down=True))


def hand(minute: float, start: float, end: float) -> list[Point]:
    """Return the line from start to end, out from the centre of a clock towards a minute."""
    angle = math.radians(minute * 6)
    return [(50 + r * math.sin(angle), 50 - r * math.cos(angle)) for r in (start, end)]


def cushion(sheet: Sheet, colour: str, accent: str) -> None:
    """Draw a cushion with a zigzag."""
    outline = mirrored(
        [(50, 14), (26, 13), (10, 8), (14, 30), (13, 50), (14, 70), (10, 92), (26, 87), (50, 86)]
    )
    sheet.blob(outline, Paint(colour, CLOTH))
    for height in range(10, 100, 12):
        zigzag = [(x, height + (3 if x % 12 else -3)) for x in range(-6, 108, 6)]
        sheet.line(zigzag, 2.6, Paint(accent, CLOTH), inside=True)
    sheet.glow((24, 20, 62, 58), "#ffffff", 0.35, blur=9)
    sheet.glow((40, 78, 100, 104), "#000000", 0.4, blur=6)


# ---------------------------------------------------------------------------------------- desk


def headphones(sheet: Sheet, colour: str, accent: str) -> None:
    """Draw on-ear headphones from the front."""
    sheet.ring((15, 8, 85, 96), 5, Paint(colour, METAL), arc=(186, 354))
    sheet.ring((22, 9, 78, 60), 4, Paint(toned(colour, 0.3), CLOTH), arc=(215, 325))
    for side in BOTH_SIDES:
        sheet.line([(side(17.5), 42), (side(18.5), 56)], 2.4, Paint("#c3c6ca", METAL))
        cup = [(side(27), 48), (side(33), 56), (side(33), 76), (side(27), 84), (side(24), 66)]
        sheet.blob(cup, Paint("#1c1c1f", ROUND))
        shell = [
            (side(24), 46),
            (side(28), 66),
            (side(24), 86),
            (side(13), 82),
            (side(9), 66),
            (side(13), 50),
        ]
        sheet.blob(shell, Paint(colour, ROUND))
        sheet.line([(side(13), 58), (side(12), 66), (side(13), 74)], 1, Paint(accent))
    sheet.glow((11, 54, 16, 70), "#ffffff", 0.5, blur=1.5)


def phone_stand(sheet: Sheet, metal: str) -> None:
    """Draw a phone leaning on a stand."""
    sheet.box((30, 8, 70, 82), Paint("#1a1b1f", METAL), radius=5)
    sheet.box((32, 10.5, 68, 79.5), Paint("#5b6fd0", FALLING, down=True), radius=3.5)
    sheet.glow((36, 44, 80, 92), "#f0a35e", 0.8, blur=7)
    sheet.text((50, 26), "10:09", 11, "#ffffff")
    sheet.text((50, 35), "Monday, 4 May", 3.2, "#ffffff")
    sheet.polygon([(33, 10.5), (48, 10.5), (36, 79.5), (33, 79.5)], Paint("#ffffff", opacity=0.1))
    sheet.polygon([(22, 84), (78, 84), (84, 92), (16, 92)], Paint(metal, METAL), soften=1)
    sheet.polygon([(26, 79), (74, 79), (76, 85), (24, 85)], Paint(metal, METAL), soften=0.8)


def notebook(sheet: Sheet, colour: str, band: str) -> None:
    """Draw a bound notebook."""
    for step in range(5):
        shift = 2 - step * 0.4
        sheet.box(
            (22 + shift, 10 + shift, 78 + shift, 90 + shift),
            Paint("#efe9da" if step % 2 else "#d8d1bf"),
            radius=1.5,
        )
    sheet.box((21, 9, 78, 90), Paint(colour, (0.2, 0.05, 0.0, -0.05, -0.15)), radius=2)
    sheet.box((26, 9, 26.7, 90), Paint(toned(colour, 0.4)))
    sheet.box((68, 8.6, 71, 90.4), Paint(band, ROUND))
    sheet.glow((26, 8, 60, 40), "#ffffff", 0.25, blur=9)
    sheet.text((46, 44), "NOTES", 6, toned(colour, 0.55, "#ffffff"))


def gift_card(sheet: Sheet, colour: str) -> None:
    """Draw a gift card."""
    sheet.box((6, 22, 94, 78), Paint(colour), radius=4)
    for x in range(-40, 120, 14):
        sheet.polygon(
            [(x, 78), (x + 7, 78), (x + 47, 22), (x + 40, 22)],
            Paint(toned(colour, 0.15, "#ffffff")),
            inside=True,
        )
    sheet.box((70, 22, 75, 78), Paint("#d9a93f"))
    for mirror in (-1, 1):
        loop = leaf((72.5, 40), 55 * mirror, 15, 9)
        sheet.blob(loop, Paint("#eabf57"))
    sheet.ellipse((69.5, 37, 75.5, 43), Paint("#b98522"))
    sheet.text((36, 44), "EUR 25", 12, "#ffffff")
    sheet.text((36, 62), "GIFT CARD", 6, "#ffffff")


# ---------------------------------------------------------------------------------------- play, art


def ball(sheet: Sheet, turn: float = 20) -> None:
    """Draw a beach ball, turned about its axis by an angle in degrees."""
    colours = ("#e23b3b", "#fbf7ee", "#2f7fd6", "#fbf7ee", "#f2b62f", "#fbf7ee")
    for panel, colour in enumerate(colours):
        start = (panel * 60 + turn) % 360 - 180
        for west in (start, start - 360):
            gore(sheet, max(west, -90), min(west + 60, 90), colour)
    sheet.ellipse((44, 10.6, 56, 13.6), Paint("#fbf7ee"))
    sheet.glow((22, 46, 106, 120), "#101020", 0.5, blur=12)
    sheet.glow((26, 20, 48, 38), "#ffffff", 0.7, blur=5)


def gore(sheet: Sheet, west: float, east: float, colour: str) -> None:
    """Draw the panel of a ball between two longitudes, as far as it faces us."""
    if west >= east:
        return
    steps = range(-90, 91, 6)
    down, up = [(west, lat) for lat in steps], [(east, lat) for lat in reversed(steps)]
    sheet.polygon([on_ball(lon, lat) for lon, lat in down + up], Paint(colour))


def on_ball(longitude: float, latitude: float) -> Point:
    """Return where a point on the ball is seen."""
    lon, lat = math.radians(longitude), math.radians(latitude)
    return 50 + 40 * math.cos(lat) * math.sin(lon), 50 + 40 * math.sin(lat)


def dusk(sheet: Sheet) -> None:
    """Draw a landscape that fills the sheet: hills under an evening sky."""
    sheet.box((0, 0, 100, 100), Paint("#e08a5b", (-1, -0.7, -0.3, 0.2, 0.7, 0.9), down=True))
    sheet.glow((0, 0, 100, 30), "#3b3f86", 0.7, blur=12)
    sheet.glow((54, 34, 76, 56), "#fff1c4", 0.7, blur=7)
    sheet.ellipse((59, 39, 71, 51), Paint("#fff6dc"))
    tints = ("#a9788f", "#7f5d80", "#56466c", "#352f50", "#1d1c33")
    for depth, tint in enumerate(tints):
        hills(sheet, 50 + depth * 9, 9 - depth, tint)
        sheet.glow((-10, 58 + depth * 9, 110, 66 + depth * 9), "#f3c9a2", 0.22, blur=4)


def hills(sheet: Sheet, base: float, height: float, colour: str) -> None:
    """Draw one range of hills across the sheet."""
    waves = [(sheet.rng.uniform(0.05, 0.5), sheet.rng.uniform(0, 7)) for _ in range(6)]
    ridge = [
        (x, base - sum(math.sin(x * pace + start) / (1 + 4 * pace) for pace, start in waves) * height / 2)
        for x in range(101)
    ]
    sheet.polygon([*ridge, (100, 100), (0, 100)], Paint(colour, FALLING[1:], down=True))


def framed_dusk(sheet: Sheet) -> None:
    """Draw the landscape in a frame."""
    print_side = round(sheet.unit * 64)
    print_ = Sheet(print_side, sheet.rng)
    dusk(print_)
    sheet.box((8, 8, 92, 92), Paint("#2b2523", METAL))
    sheet.box((11, 11, 89, 89), Paint("#f7f5ef", FALLING[1:4], down=True))
    corner = round(sheet.unit * 18)
    sheet.image.paste(print_.image, (corner, corner))


def tile(sheet: Sheet, colour: str) -> None:
    """Draw a plaster tile with dunes in relief."""
    sheet.box((10, 10, 90, 90), Paint(colour, FALLING, down=True), radius=1)
    for row in range(6, 96, 3):
        wave = [(x, row + 4 * math.sin(x / 9 + row / 11)) for x in range(0, 101, 2)]
        sheet.line(wave, 1.2, Paint("#ffffff", opacity=0.5), inside=True)
        sheet.line([(x, y + 1.3) for x, y in wave], 1.2, Paint("#000000", opacity=0.2), inside=True)


# ---------------------------------------------------------------------------------------- scene

Backdrop = Callable[[Size, Random], Image.Image]
Shadow = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class Setting:
    """Where a product is photographed; without a backdrop it is cut out."""

    backdrop: Backdrop | None = None
    shadow: Shadow | None = None
    noise: int = 0


@dataclass(frozen=True)
class Focus:
    """Which part of the sheet the picture shows: its centre, and how close it is."""

    x: float = 50
    y: float = 50
    zoom: float = 1


def studio(size: Size, _: Random, colour: str = "#ecebe8") -> Image.Image:
    """Return a seamless backdrop, lit from the front."""
    radial = Image.radial_gradient("L").resize(size, Image.Resampling.BICUBIC)
    light, dark = mixed(colour, "#ffffff", 0.8), mixed(colour, "#4a4a55", 0.25)
    return ImageOps.colorize(radial, black=light, white=dark)


def room(size: Size, rng: Random, wall: str = "#b9c4c2", table: str = "#9a6b43") -> Image.Image:
    """Return a table before a wall that a window lights."""
    sheet = Sheet(max(size), rng)
    sheet.box((0, 0, 100, 100), Paint(wall, (0.45, 0.2, 0.0, -0.15, -0.35)))
    for left in (4, 22, 40):
        pane = [(left, 4), (left + 15, 8), (left + 24, 62), (left + 9, 62)]
        sheet.polygon(pane, Paint("#fff4d8", opacity=0.35))
    planks(sheet, table)
    soft = sheet.image.convert("RGB").filter(ImageFilter.GaussianBlur(sheet.unit * 0.9))
    return ImageOps.fit(soft, size)


def planks(sheet: Sheet, colour: str) -> None:
    """Draw a table top of wooden planks over the lower part of a sheet."""
    sheet.box((0, 64, 100, 101), Paint(colour, (-0.3, 0.1, 0.25, 0.35), down=True))
    for _ in range(90):
        x, y = sheet.rng.uniform(-20, 90), sheet.rng.uniform(64.5, 100)
        streak = [(x, y), (x + sheet.rng.uniform(8, 30), y + sheet.rng.uniform(-0.3, 0.3))]
        sheet.line(streak, 0.4, Paint(toned(colour, 0.5), opacity=0.4))


def floor_shadow(alpha: Image.Image) -> Image.Image:
    """Return the shadow of something that stands."""
    shadow = Image.new("L", alpha.size)
    solid = alpha.point([0] * 200 + [255] * 56)
    bottom = (solid.getbbox() or (0, 0, 0, 0))[3]
    foot = solid.crop((0, round(bottom * 0.94), alpha.width, bottom))
    left, _, right, _ = foot.getbbox() or (0, 0, 0, 0)
    reach = max(1.0, (right - left) / 14)
    spot = (left + reach / 2, bottom - reach, right + reach, bottom + reach * 0.6)
    ImageDraw.Draw(shadow).ellipse(spot, fill=150)
    return shadow.filter(ImageFilter.GaussianBlur(reach / 2.2))


def flat_shadow(alpha: Image.Image) -> Image.Image:
    """Return the shadow of something that lies, or hangs, close to the backdrop."""
    reach = max(alpha.size) // 70
    shadow = Image.new("L", alpha.size)
    shadow.paste(alpha.point([level // 2 for level in range(256)]), (reach, reach))
    return shadow.filter(ImageFilter.GaussianBlur(reach))


def noisy(picture: Image.Image, rng: Random, amount: int) -> Image.Image:
    """Return the picture with the noise of a camera's sensor."""
    width, height = picture.size
    grain = Image.frombytes("L", picture.size, rng.randbytes(width * height))
    grain = grain.filter(ImageFilter.GaussianBlur(0.7)).point([v * amount // 255 for v in range(256)])
    return ImageChops.add(picture, Image.merge("RGB", (grain,) * 3), 1, -amount // 2)


def product_layer(drawing: Drawing, size: Size, focus: Focus, rng: Random) -> Image.Image:
    """Return the drawn product as seen through a picture of this size, without a backdrop."""
    sheet = Sheet(round(min(size) * focus.zoom * SUPERSAMPLING), rng)
    drawing(sheet)
    width, height = (side * SUPERSAMPLING for side in size)
    left = round(focus.x * sheet.unit - width / 2)
    top = round(focus.y * sheet.unit - height / 2)
    seen = sheet.image.crop((left, top, left + width, top + height))
    return seen.resize(size, Image.Resampling.LANCZOS)


def photograph(drawing: Drawing, size: Size, setting: Setting, focus: Focus, rng: Random) -> Image.Image:
    """Return the finished picture of a product."""
    layer = product_layer(drawing, size, focus, rng)
    if setting.backdrop is None:
        return layer
    picture = setting.backdrop(size, rng)
    if setting.shadow:
        picture.paste("#1a1716", (0, 0), setting.shadow(layer.getchannel("A")))
    picture.paste(layer, (0, 0), layer)
    return noisy(picture, rng, setting.noise)


# ---------------------------------------------------------------------------------------- encoding


@dataclass(frozen=True)
class Encoding:
    """A file format with its options, and how the pixels are turned before they are stored."""

    kind: str
    mode: str = "RGB"
    options: Mapping[str, object] = field(default_factory=dict)
    turn: Image.Transpose | None = None

    def encode(self, picture: Image.Image) -> bytes:
        """Return the file."""
        stored = picture if self.turn is None else picture.transpose(self.turn)
        palette = stored.quantize(256) if self.mode == "P" else stored.convert(self.mode)
        file = io.BytesIO()
        palette.save(file, self.kind, **self.options)
        return file.getvalue()


def jpeg(quality: int = 82, mode: str = "RGB", **options: object) -> Encoding:
    """Return a JPEG encoding."""
    return Encoding("JPEG", mode, {"quality": quality, **options})


# How the sensor lay for each EXIF orientation: to show the picture, undo this turn.
SENSOR_TURNS = {
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


def phone(orientation: int, *, gps: bool = False) -> Encoding:
    """Return the JPEG encoding of a phone that was held at an angle."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Example Phones"
    exif[ExifTags.Base.Model] = "Pocket 5"
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.DateTime] = "2024:05:04 10:09:32"
    if gps:
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(whereabouts())
    return Encoding("JPEG", "RGB", {"quality": 86, "exif": exif}, SENSOR_TURNS[orientation])


def whereabouts() -> dict[int, object]:
    """Return the GPS tags of a public square."""
    return {
        ExifTags.GPS.GPSLatitudeRef: "N",
        ExifTags.GPS.GPSLatitude: (50.0, 56.0, 28.0),
        ExifTags.GPS.GPSLongitudeRef: "E",
        ExifTags.GPS.GPSLongitude: (6.0, 57.0, 30.0),
    }


def srgb_profile() -> bytes:
    """Return an sRGB profile without the time of its making, which would change every file."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    made = struct.pack(">6H", 2024, 1, 1, 0, 0, 0)
    return profile[:24] + made + profile[36:]


# ---------------------------------------------------------------------------------------- pictures


@dataclass(frozen=True)
class Picture:
    """A file of the shop: its path below images/, and what makes its bytes."""

    path: str
    make: Callable[[], bytes]


STUDIO = Setting(studio, floor_shadow, 5)
ROOM = Setting(room, floor_shadow, 16)
FLAT_LAY = Setting(partial(studio, colour="#e4ddd2"), flat_shadow, 6)
WALL = Setting(partial(studio, colour="#cfd6da"), flat_shadow, 5)
NOISELESS_WALL = Setting(partial(studio, colour="#cfd6da"), flat_shadow)
PLAIN = Setting(partial(studio, colour="#ffffff"), floor_shadow)
CLOSE_UP = Setting(studio, None, 5)
CUT_OUT = Setting()

WHOLE, TALL = Focus(), Focus(zoom=1.22)


def shot(
    path: str,
    drawing: Drawing,
    size: Size = (600, 600),
    setting: Setting = STUDIO,
    focus: Focus = WHOLE,
    *,
    encoding: Encoding | None = None,
) -> Picture:
    """Describe a photograph of a product."""

    def make() -> bytes:
        picture = photograph(drawing, size, setting, focus, Random(path))
        return (encoding or jpeg()).encode(picture)

    return Picture(path, make)


def spinning_ball() -> bytes:
    """Return an animated GIF of the beach ball, which slows down at the end of each turn."""
    rng = Random("spin")
    turns = [partial(ball, turn=step * 20) for step in range(18)]
    frames = [photograph(turn, (320, 320), PLAIN, WHOLE, rng).quantize(96) for turn in turns]
    file = io.BytesIO()
    durations = [60] * 14 + [80, 100, 140, 300]
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return file.getvalue()


def height_map(side: int = 500) -> bytes:
    """Return the relief of the tile as a 16-bit grey PNG: the higher, the brighter."""
    heights = [dune(x / side, y / side) for y in range(side) for x in range(side)]
    packed = struct.pack(f"<{len(heights)}H", *heights)
    file = io.BytesIO()
    Image.frombytes("I;16", (side, side), packed).save(file, "PNG", optimize=True)
    return file.getvalue()


def dune(x: float, y: float) -> int:
    """Return the height of the relief at a point, from 0 to 65535."""
    slow = math.sin(x * 5 + math.sin(y * 4)) + math.cos(y * 6 - x * 2)
    fast = math.sin((y * 16 + math.sin(x * 7)) * 2.2)
    return round(32768 + 9000 * slow + 7000 * fast)


LOGIN_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Log in - Example Shop</title></head>
<body>
<h1>Please log in</h1>
<form method="post" action="/login">
<p><label>E-mail <input type="email" name="email"></label></p>
<p><label>Password <input type="password" name="password"></label></p>
<p><button>Log in</button></p>
</form>
</body>
</html>
"""


def login_page() -> bytes:
    """Return the page a shop answers with when its pictures are not public."""
    return LOGIN_PAGE.encode()


def cut_short(whole: Picture) -> bytes:
    """Return the first 60 percent of a picture, as a broken upload leaves it."""
    content = whole.make()
    return content[: len(content) * 6 // 10]


# ---------------------------------------------------------------------------------------- catalogue

# A link is a picture made here, a path where there is none, or a whole address.
Link = Picture | str


@dataclass(frozen=True)
class Product:
    """A row of the product lists."""

    serial: int
    name: str
    links: tuple[Link, ...] = ()
    in_spreadsheet: bool = False


RED, NAVY, OLIVE, CREAM = "#b8323a", "#27385f", "#6f7a45", "#f1ece0"
TEAL, CORAL, MUSTARD, SLATE = "#2b7f86", "#ea6a55", "#d6a02c", "#565d66"
BRASS, OAK, STEEL, PLUM = "#b98f3e", "#b98450", "#9aa2a8", "#6d3f63"

SQUARE, LARGE, PORTRAIT, WIDE = (600, 600), (800, 800), (600, 800), (800, 600)
WEBP = Encoding("WEBP", "RGB", {"quality": 78})
WEBP_ALPHA = Encoding("WEBP", "RGBA", {"lossless": True})
PNG = Encoding("PNG", "RGB", {"optimize": True})
PNG_ALPHA = Encoding("PNG", "RGBA", {"optimize": True})
PNG_PALETTE = Encoding("PNG", "P", {"optimize": True})

RED_SHIRT = partial(shirt, colour=RED, words="RIVERSIDE")
NAVY_SHIRT = partial(shirt, colour=NAVY, words="RIVERSIDE")
HOOP_SHIRT = partial(shirt, colour=CREAM, hoop=NAVY)
RED_MUG = partial(mug, colour=RED, words="GOOD\nMORNING")
BLACK_LAMP = partial(lamp, colour="#34363c")
BRASS_LAMP = partial(lamp, colour=BRASS)
OAK_CHAIR = partial(chair, wood=OAK, seat=TEAL)
BLUE_SHOE = partial(shoe, colour="#3568b0", accent=MUSTARD)
CORAL_SHOE = partial(shoe, colour=CORAL, accent=NAVY)
BLACK_HEADPHONES = partial(headphones, colour="#3a3d44", accent=CORAL)
STAND = partial(phone_stand, metal=STEEL)
BACKPACK = partial(backpack, colour=OLIVE)
GLASSES = partial(sunglasses, frame="#3b2a20", lens="#5a4a2a")
GREEN_POT = partial(pot, colour="#4f8f6a")
OIL = partial(bottle, glass="#4f6128", words="OLIO\nEXTRA VERGINE")
NOTEBOOK = partial(notebook, colour=PLUM, band="#2a1a28")

RED_MUG_FRONT = shot("mugs/good-morning-red.jpg", RED_MUG, LARGE)
NOTEBOOK_PLUM = shot("paper/notebook-plum.jpg", NOTEBOOK, PORTRAIT, FLAT_LAY, TALL, encoding=jpeg(75))
CHAIR_PHOTO = shot("chairs/no14-in-the-room.jpg", OAK_CHAIR, (1000, 750), ROOM)

# fmt: off
CATALOGUE = (
    Product(1, "Cotton T-Shirt Riverside, red", (
        shot("shirts/riverside-red-front.jpg", RED_SHIRT, PORTRAIT, FLAT_LAY),
        shot("shirts/riverside-red-back.jpg", partial(RED_SHIRT, back=True), PORTRAIT, FLAT_LAY),
        shot("shirts/riverside-red-detail.jpg", RED_SHIRT, SQUARE, FLAT_LAY, Focus(50, 24, 2.6)),
    ), in_spreadsheet=True),
    Product(2, "Cotton T-Shirt Riverside, navy", (
        shot("shirts/riverside-navy-front.jpg", NAVY_SHIRT, PORTRAIT, FLAT_LAY,
             encoding=jpeg(80, progressive=True)),
        shot("shirts/riverside-navy-back.jpg", partial(NAVY_SHIRT, back=True), PORTRAIT, FLAT_LAY,
             encoding=jpeg(80, progressive=True)),
        "shirts/riverside-navy-detail.jpg",
    ), in_spreadsheet=True),
    Product(3, 'Striped Shirt "Marina", cream/navy', (
        shot("shirts/marina-front.jpg", HOOP_SHIRT, LARGE, FLAT_LAY,
             encoding=jpeg(90, subsampling="4:4:4")),
        shot("shirts/marina-back.jpg", partial(HOOP_SHIRT, back=True), SQUARE, FLAT_LAY,
             encoding=jpeg(60)),
        shot("shirts/marina-detail.jpg", HOOP_SHIRT, SQUARE, FLAT_LAY, Focus(34, 42, 2.4)),
    )),
    Product(4, 'Mug "Good Morning", 300 ml', (
        RED_MUG_FRONT,
        shot("mugs/good-morning-teal.jpg", partial(RED_MUG, colour=TEAL), LARGE),
        shot("mugs/good-morning-mustard.jpg", partial(RED_MUG, colour=MUSTARD), LARGE,
             encoding=jpeg(70)),
        shot("mugs/good-morning-back.jpg", partial(RED_MUG, words="", left=True), LARGE),
        shot("mugs/good-morning-on-the-table.jpg", RED_MUG, WIDE, ROOM, Focus(50, 52, 0.9),
             encoding=phone(6, gps=True)),
    ), in_spreadsheet=True),
    Product(5, "Kaffeebecher „Grüße aus Köln“, weiß", (
        shot("mugs/koeln.jpg", cathedral_mug, SQUARE, WALL),
        shot("mugs/koeln-detail.jpg", cathedral_mug, SQUARE, WALL, Focus(55, 50, 2)),
    ), in_spreadsheet=True),
    Product(6, "Desk Lamp Arc, black", (
        shot("lamps/arc-black.jpg", BLACK_LAMP),
        shot("lamps/arc-black-lit.jpg", partial(BLACK_LAMP, lit=True), SQUARE,
             Setting(partial(room, wall="#4d5668"), floor_shadow, 14)),
        shot("lamps/arc-black-shade.jpg", BLACK_LAMP, SQUARE, CLOSE_UP, Focus(64, 32, 1.9),
             encoding=jpeg(78, progressive=True)),
    )),
    Product(7, "Desk Lamp Arc, brass", (
        shot("lamps/arc-brass.jpg", BRASS_LAMP, PORTRAIT, encoding=jpeg(88)),
        shot("lamps/arc-brass-on-the-desk.jpg", partial(BRASS_LAMP, lit=True), PORTRAIT, ROOM,
             encoding=phone(8)),
    )),
    Product(8, "Oak Chair No. 14, teal seat", (
        shot("chairs/no14-front.jpg", OAK_CHAIR, PORTRAIT, STUDIO, TALL,
             encoding=jpeg(92, icc_profile=srgb_profile())),
        shot("chairs/no14-back.jpg", partial(OAK_CHAIR, back=True), PORTRAIT, STUDIO, TALL),
        shot("chairs/no14-plum.jpg", partial(OAK_CHAIR, seat=PLUM), PORTRAIT, STUDIO, TALL),
        CHAIR_PHOTO,
    ), in_spreadsheet=True),
    Product(9, "Running Shoe Swift, blue, EU 36-46", (
        shot("shoes/swift-blue.jpg", BLUE_SHOE, WIDE, STUDIO, Focus(50, 60, 1.2)),
        shot("shoes/swift-blue-toe.jpg", BLUE_SHOE, WIDE, STUDIO, Focus(76, 66, 2.4)),
        shot("shoes/swift-blue-laces.webp", BLUE_SHOE, WIDE, CLOSE_UP, Focus(46, 52, 2.4), encoding=WEBP),
    ), in_spreadsheet=True),
    Product(10, "Running Shoe Swift, coral, EU 36-46", (
        shot("shoes/swift-coral.jpg", CORAL_SHOE, WIDE, STUDIO, Focus(50, 60, 1.2)),
        shot("shoes/swift-coral-on-the-table.jpg", CORAL_SHOE, WIDE, ROOM, Focus(50, 56), encoding=phone(3)),
        "broken/truncated.jpg",
    )),
    Product(11, "Vase Ida, Ø 12 cm", (
        shot("vases/ida-cobalt.jpg", partial(vase, colour="#2d4f9e"), PORTRAIT, STUDIO, TALL),
        shot("vases/ida-terracotta.jpg", partial(vase, colour="#b5623f"), PORTRAIT, STUDIO, TALL),
        shot("vases/ida-catalogue.jpg", partial(vase, colour="#8a8a8a"), PORTRAIT, STUDIO, TALL,
             encoding=jpeg(85, "L")),
    )),
    Product(12, "On-Ear Headphones H2 | 40 h battery", (
        shot("audio/h2-black.png", BLACK_HEADPHONES, SQUARE, CUT_OUT, encoding=PNG_ALPHA),
        shot("audio/h2-teal.webp", partial(BLACK_HEADPHONES, colour=TEAL), SQUARE, CUT_OUT,
             encoding=WEBP_ALPHA),
        shot("audio/h2-cup.jpg", BLACK_HEADPHONES, SQUARE, CLOSE_UP, Focus(24, 64, 2.2)),
    ), in_spreadsheet=True),
    Product(13, '5" phone stand, aluminium', (
        shot("desk/phone-stand.png", STAND, (500, 500), PLAIN, encoding=PNG),
        shot("desk/phone-stand-print.jpg", STAND, SQUARE, encoding=jpeg(85, "CMYK")),
    ), in_spreadsheet=True),
    Product(14, '-20 %: Canvas Backpack "Tramp", 22 l', (
        shot("bags/tramp-front.jpg", BACKPACK, (750, 1000), STUDIO, TALL, encoding=jpeg(80)),
        shot("bags/tramp-back.jpg", partial(BACKPACK, back=True), PORTRAIT, STUDIO, TALL),
        shot("bags/tramp-buckle.jpg", BACKPACK, SQUARE, CLOSE_UP, Focus(42, 54, 2.8)),
        shot("bags/tramp-slate.webp", partial(BACKPACK, colour=SLATE), PORTRAIT, STUDIO, TALL,
             encoding=WEBP),
    )),
    Product(15, "Sunglasses Lido 🕶️ UV400", (
        shot("glasses/lido-tortoise.png", GLASSES, (800, 400), CUT_OUT, Focus(50, 50, 1.9),
             encoding=PNG_ALPHA),
        shot("glasses/lido-blue.jpg", partial(GLASSES, frame="#2c3f66", lens="#33507a"), WIDE,
             WALL, Focus(50, 50, 1.15)),
    )),
    Product(16, "Station Clock, 30 cm, white or black", (
        shot("clocks/station-white.png", partial(clock, rim=STEEL), (500, 500),
             Setting(partial(studio, colour="#dfe3e6"), flat_shadow), encoding=PNG),
        shot("clocks/station-black.png", partial(clock, rim=STEEL, dark=True), (500, 500),
             Setting(partial(studio, colour="#ffffff"), flat_shadow), encoding=PNG_PALETTE),
        shot("clocks/station-detail.jpg", partial(clock, rim=STEEL), SQUARE, WALL,
             Focus(66, 34, 2.2)),
    )),
    Product(17, "Blumentopf Grün, glasiert, mit Pflanze", (
        shot("w_400,h_300/blumentopf-grün.jpg", GREEN_POT, (400, 300)),
        shot("w_800,h_600/blumentopf-grün.jpg", GREEN_POT, WIDE, ROOM, Focus(50, 54)),
    ), in_spreadsheet=True),
    Product(18, "Beach Ball, 40 cm, 6 panels", (
        Picture("toys/beach-ball-spinning.gif", spinning_ball),
        shot("toys/beach-ball.jpg", ball, LARGE, encoding=jpeg(98)),
    ), in_spreadsheet=True),
    Product(19, "Cushion Zig & Zag 45x45 cm", (
        shot("cushions/zigzag-mustard.jpg", partial(cushion, colour=CREAM, accent=MUSTARD), LARGE),
        shot("cushions/zigzag-teal.jpg", partial(cushion, colour=CREAM, accent=TEAL)),
        shot("cushions/zigzag-plum.webp", partial(cushion, colour="#d9c8d3", accent=PLUM),
             encoding=WEBP),
    )),
    Product(20, "Olio extra vergine, 0,5 l; cold pressed", (
        shot("food/olive oil 0.5 l.jpg", OIL, PORTRAIT, STUDIO, TALL),
        shot("food/olive-oil-label.jpg", OIL, SQUARE, CLOSE_UP, Focus(50, 64, 2.3), encoding=jpeg(65)),
    ), in_spreadsheet=True),
    Product(21, 'Art Print "Alpine Dusk", A3', (
        shot("art/alpine-dusk.webp", dusk, (900, 675), Setting(studio, None, 12),
             Focus(50, 60, 1.36), encoding=WEBP),
        shot("art/alpine-dusk-framed.jpg", framed_dusk, LARGE, WALL),
    )),
    Product(22, "Relief Tile Dunes, plaster", (
        shot("art/dunes-tile.jpg", partial(tile, colour="#d8d2c6"), SQUARE, WALL),
        Picture("art/dunes-height-map.png", height_map),
    )),
    Product(23, "Notebook A5, dotted, 192 pages", (
        NOTEBOOK_PLUM,
        shot("paper/notebook-teal.jpg", partial(NOTEBOOK, colour=TEAL), PORTRAIT, FLAT_LAY, TALL),
        "broken/login.jpg",
    )),
    Product(24, "Gift Card 25 €", (
        shot("paper/gift-card.gif", partial(gift_card, colour=RED), (600, 400),
             NOISELESS_WALL, Focus(50, 50, 1.4), encoding=Encoding("GIF", "P")),
    )),
    Product(25, "Gift Set: mug, red + notebook, plum", (RED_MUG_FRONT,)),
    Product(26, "Spare Bulb E14, 4 W (no picture yet)", in_spreadsheet=True),
    Product(27, "Polo Shirt (supplier has closed)", (
        "http://closed-shop.invalid/shirt.jpg",
        "broken/not-an-image.html",
    )),
    Product(28, "Wool Scarf, 180 cm", ("htp:/oops",)),
)
# fmt: on

BROKEN = (
    Picture("broken/truncated.jpg", partial(cut_short, CHAIR_PHOTO)),
    Picture("broken/login.jpg", login_page),
    Picture("broken/not-an-image.html", login_page),
)

# ---------------------------------------------------------------------------------------- files


def pictures() -> dict[str, Picture]:
    """Return every file to be served, by its path."""
    linked = [link for product in CATALOGUE for link in product.links if isinstance(link, Picture)]
    return {picture.path: picture for picture in (*linked, *BROKEN)}


def address(link: Link, base_url: str) -> str:
    """Return the link as the product list holds it: commas stay, the rest is percent-encoded."""
    path = link.path if isinstance(link, Picture) else link
    return path if ":" in path else f"{base_url.rstrip('/')}/{quote(path, safe='/,')}"


def write_pictures(folder: Path) -> None:
    """Write every picture below a folder."""
    for path, picture in pictures().items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture.make())


def write_products(file: Path, base_url: str) -> None:
    """Write the product list as a program exports it."""
    with file.open("w", encoding="utf-8", newline="") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(("Serial Number", "Product Name", "Input Image Urls"))
        for product in CATALOGUE:
            links = ",".join(address(link, base_url) for link in product.links)
            rows.writerow((product.serial, product.name, links))


def write_spreadsheet(file: Path, base_url: str) -> None:
    """Write part of the product list as a spreadsheet saves it after a person's edits."""
    chosen = [product for product in CATALOGUE if product.in_spreadsheet]
    with file.open("w", encoding="utf-8-sig", newline="") as out:
        rows = csv.writer(out, delimiter=";", lineterminator="\r\n")
        rows.writerow((" serial number ", "PRODUCT NAME", " Input image URLs "))
        for number, product in enumerate(chosen):
            separator = "\n" if number % 3 == 0 else ", "
            links = separator.join(address(link, base_url) for link in product.links)
            rows.writerow((product.serial, product.name, links))
        out.write(";;\r\n" * 3 + "\r\n")


def main() -> None:
    """Make the example shop."""
    parser = argparse.ArgumentParser(description="Draw the example shop.")
    parser.add_argument("--base-url", default="http://127.0.0.1:8091", help="where it is served")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent, metavar="DIR")
    options = parser.parse_args()
    write_pictures(options.out / "images")
    write_products(options.out / "products.csv", options.base_url)
    write_spreadsheet(options.out / "products_spreadsheet.csv", options.base_url)
    print(f"{len(pictures())} files and 2 product lists in {options.out}")


if __name__ == "__main__":
    main()
