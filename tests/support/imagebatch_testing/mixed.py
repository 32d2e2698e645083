"""A shard that mixes many thumbnails with pictures at the pixel limit, for what a jobrunner takes of memory."""

import io
from dataclasses import dataclass

from PIL import Image

MIB = 1 << 20
PROCESS_BYTES = 60 * MIB
"""A codec process with its libraries, and half of what their parent is."""


@dataclass(frozen=True)
class Mix:
    """So many thumbnails, and so many large pictures of each kind, of `side` x `side` pixels."""

    thumbnails: int
    large: int
    side: int


def files(mix: Mix) -> dict[str, bytes]:
    """By path: the pictures of the mix, one of each kind."""
    noise = Image.effect_noise((512, 512), 50).resize((mix.side, mix.side), Image.Resampling.BICUBIC)
    photo = Image.merge("RGB", (noise, noise.rotate(90), noise.rotate(180)))
    clear = photo.copy()
    clear.putalpha(noise)
    exif = Image.Exif()
    exif[0x0112] = 6
    return {
        "/thumbnail.jpg": _saved(photo.resize((120, 120)), "JPEG", quality=90),
        "/photo.jpg": _saved(photo, "JPEG", quality=85, exif=exif),
        "/progressive.jpg": _saved(photo, "JPEG", quality=85, progressive=True),
        "/clear.png": _saved(clear, "PNG", compress_level=1),
        "/picture.webp": _saved(photo, "WEBP", quality=80, method=0),
        "/clear.webp": _saved(clear, "WEBP", quality=80, method=0),
    }


def links(mix: Mix, base: str) -> list[str]:
    """Every link is another one, so that each is fetched.

    The large ones are spread among the thumbnails, those of a kind after each other: so they meet in the codecs.
    """
    large = [path for path in files(Mix(0, 0, 1)) if path != "/thumbnail.jpg"]
    wanted = [f"{base}{path}?{number}" for path in large for number in range(mix.large)]
    found = [f"{base}/thumbnail.jpg?{number}" for number in range(mix.thumbnails)]
    step = max(1, len(found) // max(1, len(wanted)))
    for place, link in enumerate(wanted):
        found.insert(place * (step + 1), link)
    return found


def documented_limit(processes: int, picture_bytes: int, bytes_in_flight: int) -> int:
    """What docs/formats.md promises."""
    return picture_bytes + 2 * bytes_in_flight + (processes + 2) * PROCESS_BYTES


def _saved(image: Image.Image, pillow_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, pillow_format, **options)
    return file.getvalue()
