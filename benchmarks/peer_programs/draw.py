"""Draw pictures that compress as photographs do: a 1/f spectrum with edges. draw.py FOLDER COUNT EXTENSION

1200 x 980, saved as jpg with 4:2:0, as webp, both of quality 90, or as png. The same number gives the same
picture.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 1200, 980
QUALITY = 90
EDGES = 6


def main(folder: Path, count: int, extension: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        drawn(number).save(folder / f"{number:03}.{extension}", quality=QUALITY)


def drawn(number: int) -> Image.Image:
    random = np.random.default_rng(number)
    common = noise(random, 1.45)
    channels = [128 + 48 * common + 18 * noise(random, 1.5) for _ in range(3)]
    picture = Image.fromarray(np.clip(np.stack(channels, -1), 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for edge in range(EDGES):
        x, y, size = (int(random.integers(low, high)) for low, high in ((0, WIDTH), (0, HEIGHT), (40, 260)))
        colour = tuple(int(value) for value in random.integers(0, 255, 3))
        draw = pen.ellipse if edge % 2 else pen.rectangle
        draw((x, y, x + size, y + size // 2), fill=colour)
    return picture


def noise(random: np.random.Generator, power: float) -> np.ndarray:
    """Of mean 0 and deviation 1, with amplitudes that fall by frequency ** -power."""
    down, across = np.fft.fftfreq(HEIGHT)[:, None], np.fft.fftfreq(WIDTH)[None, :]
    frequency = np.hypot(down, across)
    frequency[0, 0] = 1
    made = np.fft.ifft2(np.fft.fft2(random.standard_normal((HEIGHT, WIDTH))) / frequency**power).real
    found: np.ndarray = (made - made.mean()) / made.std()
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
