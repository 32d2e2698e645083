"""`compress_image` beside the bare calls that it stands for: what probing, checking and choosing cost.

PYTHONPATH=tests/support python benchmarks/codec.py [ROUNDS [NAME …]]

For each way that a picture can go, the same bytes through `compress_image` and through what Pillow needs to
make the same of them (open, convert, resize, save, with the same options), in turn, in one process with a
codec process's environment. Prints CPU ms of each, the least of all rounds, and the ratio; and checks that
both made the same picture. Pictures are 1200 x 980.
"""

import io
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageChops
from PIL.Image import Resampling

from imagebatch.options import Compression
from imagebatch_jobrunner.codec.command import ENVIRONMENT
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.limits import PictureLimits
from imagebatch_testing import natural

ROUNDS = 15
SIZE = (1200, 980)
LIMITS = PictureLimits()


def main() -> None:
    if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ENVIRONMENT})
    rounds, names = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS, sys.argv[2:]
    print("| way | bare | compress_image | ratio |\n|---|---|---|---|")
    for name, way in WAYS.items():
        if not names or name in names:
            measure(name, way, rounds)


@dataclass(frozen=True, slots=True)
class Way:
    """A file, what is asked for, and the bare calls that make it."""

    data: bytes
    options: Compression
    bare: Callable[[bytes], bytes]
    is_alike: bool = True
    """Whether both make the same pixels. Resampled ones may differ by a level, of which JPEG makes more."""


def measure(name: str, way: Way, rounds: int) -> None:
    ours: Callable[[], bytes] = lambda: compress_image(way.data, way.options, LIMITS).data  # noqa: E731
    bare: Callable[[], bytes] = lambda: way.bare(way.data)  # noqa: E731
    if way.is_alike:
        assert is_same(ours(), bare()), name
    least = [float("inf")] * 2
    for _ in range(rounds):
        for number, make in enumerate((bare, ours)):
            least[number] = min(least[number], cpu_ms(make))
    print(f"| {name} | {least[0]:.2f} | {least[1]:.2f} | {least[1] / least[0]:.3f} |", flush=True)


def cpu_ms(make: Callable[[], bytes]) -> float:
    began = time.process_time()
    make()
    return (time.process_time() - began) * 1000


def is_same(one: bytes, other: bytes) -> bool:
    images = [opened(data).convert("RGBA") for data in (one, other)]
    return ImageChops.difference(*images).getbbox(alpha_only=False) is None


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def drawn(alpha: Image.Image | None = None) -> Image.Image:
    picture = natural.drawn(1, SIZE)
    if alpha is not None:
        picture.putalpha(alpha)
    return picture


def file(picture: Image.Image, pillow_format: str, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's own
    written = io.BytesIO()
    picture.save(written, pillow_format, **options)
    return written.getvalue()


def to_jpeg(data: bytes) -> bytes:
    return file(opened(data), "JPEG", quality=45, subsampling=2)


def opaque_to_jpeg(data: bytes) -> bytes:
    return file(opened(data).convert("RGB"), "JPEG", quality=45, subsampling=2)


def to_webp(data: bytes) -> bytes:
    return file(opened(data), "WEBP", quality=45, method=2)


def to_png(data: bytes) -> bytes:
    return file(opened(data), "PNG")


def to_avif(data: bytes) -> bytes:
    return file(opened(data), "AVIF", quality=45, speed=9)


def resized(width: int, reduced: int = 1) -> Callable[[bytes], bytes]:
    """`reduced` is by how much the decoder scales already."""

    def resize(data: bytes) -> bytes:
        image = opened(data)
        if reduced > 1:
            image.draft(None, (SIZE[0] // reduced, SIZE[1] // reduced))
        height = round(SIZE[1] * width / SIZE[0])
        return file(image.resize((width, height), Resampling.LANCZOS), "JPEG", quality=45, subsampling=2)

    return resize


def options(**given: Any) -> Compression:  # noqa: ANN401 - of several types
    return Compression(quality="45", **given)


OPAQUE, GRADIENT = Image.new("L", SIZE, 255), Image.linear_gradient("L").resize(SIZE)
PHOTO = file(drawn(), "JPEG", quality=90)
PNG = file(drawn(), "PNG")
WAYS = {
    "JPEG, requantised": Way(PHOTO, options(), to_jpeg, is_alike=False),
    "PNG → JPEG": Way(PNG, options(), to_jpeg),
    "PNG with an alpha channel that says nothing → JPEG": Way(
        file(drawn(OPAQUE), "PNG"),
        options(),
        opaque_to_jpeg,
    ),
    "transparent PNG → WebP": Way(file(drawn(GRADIENT), "PNG"), options(), to_webp),
    "PNG → PNG": Way(PNG, options(format="png"), to_png),
    "WebP → JPEG": Way(file(drawn(), "WEBP", quality=90), options(), to_jpeg),
    "WebP → WebP": Way(file(drawn(), "WEBP", quality=90), options(format="webp"), to_webp),
    "AVIF → JPEG": Way(file(drawn(), "AVIF", quality=90, speed=9), options(), to_jpeg),
    "JPEG → WebP": Way(PHOTO, options(format="webp"), to_webp),
    "JPEG → AVIF": Way(PHOTO, options(format="avif"), to_avif),
    "JPEG made 800 wide": Way(PHOTO, options(max_width=800), resized(800), is_alike=False),
    "JPEG made 400 wide": Way(PHOTO, options(max_width=400), resized(400, 2), is_alike=False),
    "PNG made 800 wide": Way(PNG, options(max_width=800), resized(800), is_alike=False),
}

if __name__ == "__main__":
    main()
