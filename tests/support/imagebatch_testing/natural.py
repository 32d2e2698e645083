"""Pictures that compress about as photographs do: noise whose amplitude falls with its frequency, and edges."""

import random

from PIL import Image, ImageChops, ImageDraw

_COARSEST = 4
_EDGES = 5


def drawn(seed: int, size: tuple[int, int]) -> Image.Image:
    """The same seed gives the same picture."""
    source = random.Random(seed)
    picture = Image.new("RGB", size, (128, 128, 128))
    cells, strength = _COARSEST, 90.0
    while cells < max(size):
        picture = ImageChops.add(picture, _octave(source, size, cells, strength), offset=-128)
        cells, strength = cells * 2, strength * 0.56
    pen = ImageDraw.Draw(picture)
    for number in range(_EDGES):
        x, y, side = (source.randrange(low, high) for low, high in ((0, size[0]), (0, size[1]), (20, 130)))
        draw = pen.ellipse if number % 2 else pen.rectangle
        draw((x, y, x + side, y + side // 2), fill=tuple(source.randbytes(3)))
    return picture


def _octave(source: random.Random, size: tuple[int, int], cells: int, strength: float) -> Image.Image:
    """Around 128, by so much; the same in all channels but for a third of it."""
    grid = (cells, max(1, cells * size[1] // size[0]))
    noise = [Image.frombytes("L", grid, source.randbytes(grid[0] * grid[1])) for _ in range(4)]
    bands = [Image.blend(noise[0], own, 1 / 3) for own in noise[1:]]
    weak = Image.merge("RGB", bands).point(lambda value: round(128 + (value - 128) * strength / 128))
    return weak.resize(size, Image.Resampling.BICUBIC)
