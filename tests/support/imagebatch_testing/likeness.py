"""How like two image files are, as a viewer sees them: upright, in sRGB, with transparency, over time.

Written apart from the codec, with Pillow's plain tools, so that a mistake of the one is not one of the other.
Differences are in levels of 255.
"""

import io
import zlib
from dataclasses import dataclass
from typing import cast

import pi_heif
from PIL import Image, ImageChops, ImageCms, ImageStat

from imagebatch_testing.colours import described_in_srgb

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MOVING = {"GIF", "WEBP", "PNG", "AVIF"}
_PAGED = {"TIFF", "PSD", "ICO", "BMP", "JPEG"}
_SAMPLES = 24
_BLOCK = 4


@dataclass(frozen=True)
class Frame:
    """One frame of RGBA; it is seen from `start_ms` on."""

    start_ms: float
    image: Image.Image


@dataclass(frozen=True)
class Film:
    """All frames of a file; `total_ms` is 0 for a still picture."""

    frames: list[Frame]
    total_ms: float

    @property
    def size(self) -> tuple[int, int]:
        return self.frames[0].image.size

    @property
    def is_transparent(self) -> bool:
        return any(_lowest_alpha(frame.image) < 255 for frame in self.frames)

    def at(self, time_ms: float) -> Image.Image:
        return [frame.image for frame in self.frames if frame.start_ms <= time_ms][-1]


@dataclass(frozen=True)
class Likeness:
    """The largest differences over the sampled times: of colours, seen in blocks of 4 x 4, and of alpha."""

    colours: float
    alpha: float


def film(data: bytes) -> Film:
    """Every frame of a file that a browser shows moving, the first page of any other."""
    with _opened(_as_browsers_read(data)) as image:
        count = getattr(image, "n_frames", 1) if image.format in _MOVING else 1
        first = 1 if count > 1 and getattr(image, "default_image", False) else 0
        if image.format == "TIFF":
            image.seek(_largest_page(image))
        frames, time_ms = list[Frame](), 0.0
        for number in range(first, count):
            if count > 1:
                image.seek(number)
            image.load()
            seen = _seen(image, data)
            size = frames[0].image.size if frames else seen.size
            frames.append(Frame(time_ms, seen if seen.size == size else seen.crop((0, 0, *size))))
            shown_ms = float(image.info.get("duration") or 0)
            shown_ms = 100 if shown_ms <= 10 else shown_ms  # as browsers do
            time_ms += shown_ms if count - first > 1 else 0
    return Film(frames, time_ms)


def _opened(data: bytes) -> Image.Image:
    if data[4:8] == b"ftyp" and data[8:12] not in {b"avif", b"avis"}:
        heic: Image.Image = pi_heif.HeifImageFile(io.BytesIO(data))
        return heic
    return Image.open(io.BytesIO(data), formats=sorted(_MOVING | _PAGED))


def _as_browsers_read(data: bytes) -> bytes:
    """Without those chunks of a PNG that nobody needs (their names begin in lower case) and that are damaged; and
    a JPEG that has no end marker with one.
    """
    if data.startswith(b"\xff\xd8") and b"\xff\xd9" not in data:
        return data + b"\xff\xd9"
    if not data.startswith(b"\x89PNG"):
        return data
    kept, rest = [data[:8]], data[8:]
    while rest:
        chunk, rest = rest[: (end := 12 + int.from_bytes(rest[:4], "big"))], rest[end:]
        if not chunk[4:5].islower() or zlib.crc32(chunk[4:-4]).to_bytes(4, "big") == chunk[-4:]:
            kept.append(chunk)
    return b"".join(kept)


def likeness(one: Film, other: Film, *, grounds: tuple[str, ...] = ("white", "black")) -> Likeness:
    """Both at the same times, over each of the grounds."""
    colours = alpha = 0.0
    for pair in _pairs(one, other):
        shades = [image.getchannel("A") for image in pair]
        alpha = max(alpha, _difference(*shades))
        for ground in grounds:
            colours = max(colours, _difference(*(_blocks(_over(image, ground)) for image in pair)))
    return Likeness(colours, alpha)


def _pairs(one: Film, other: Film) -> list[tuple[Image.Image, Image.Image]]:
    if not one.total_ms:  # all at once: what is seen at last
        return [(one.frames[-1].image, other.frames[-1].image)]
    starts = sorted({frame.start_ms for frame in one.frames})
    step = max(1, len(starts) // _SAMPLES)
    return [(one.at(start + 0.5), other.at(start + 0.5)) for start in starts[::step]]


def _largest_page(image: Image.Image) -> int:
    """The first one of about the size of the largest, which is the picture and not its thumbnail."""
    sizes = list[int]()
    try:
        while True:
            image.seek(len(sizes))
            sizes.append(image.width * image.height)
    except (EOFError, SyntaxError, OSError, ValueError, KeyError, TypeError):
        return next((page for page, size in enumerate(sizes) if size >= 0.9 * max(sizes)), 0)


def _seen(image: Image.Image, data: bytes) -> Image.Image:
    turn = _TURNS.get(_orientation(image))
    seen = _in_srgb(image.copy())
    if image.format in {"BMP", "ICO"} and not seen.getchannel("A").getbbox():
        seen.putalpha(255)  # nobody has written it
    if image.format == "PNG":
        seen = described_in_srgb(seen, data)
    return seen if turn is None else seen.transpose(turn)


def _orientation(image: Image.Image) -> int:
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        return int(exif.get(0x0112, 1))
    except Exception:  # noqa: BLE001 - damaged EXIF raises anything
        return 1


def _in_srgb(image: Image.Image) -> Image.Image:
    """RGBA."""
    profile = image.info.get("icc_profile")
    rgba = None
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        key, deep = image.info.get("transparency"), image.convert("I")
        image = _eight_bits(image)
        if key is not None:
            shades = bytes(0 if value == key else 255 for value in deep.get_flattened_data())
            rgba = Image.merge("RGBA", (*(3 * [image]), Image.frombytes("L", image.size, shades)))
    if rgba is None and (image.has_transparency_data or image.mode in {"LA", "PA", "RGBA", "RGBa", "La"}):
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        image = rgba.convert("RGB")
    elif image.mode not in {"L", "RGB", "CMYK", "LAB"}:
        image = image.convert("L" if image.mode == "1" else "RGB")
    colours = (_converted(image, profile) if profile else None) or _without_profile(image)
    colours.putalpha(rgba.getchannel("A") if rgba is not None else 255)
    return colours


def _eight_bits(image: Image.Image) -> Image.Image:
    """16 bits by their upper byte, others by what range they use."""
    is_sixteen = image.mode.startswith("I;16")
    image = image.convert("I") if is_sixteen else image
    low, high = cast("tuple[float, float]", image.getextrema())
    if is_sixteen or (image.mode == "I" and low >= 0 and 255 < high <= 65_535):
        low, high = 0, 65_535
    elif low >= 0 and high <= 255:
        return image.convert("L")
    scale = 255 / ((high - low) or 1)
    return image.convert("F").point(lambda value: value * scale + -low * scale).convert("L")


def _converted(image: Image.Image, profile: bytes) -> Image.Image | None:
    try:
        return _to_srgb(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _without_profile(image: Image.Image) -> Image.Image:
    if image.mode == "LAB":
        return _to_srgb(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    return image.convert("RGB")


def _to_srgb(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    found = ImageCms.profileToProfile(
        image,
        profile,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert found is not None
    return found


def _over(image: Image.Image, ground: str) -> Image.Image:
    base = Image.new("RGB", image.size, ground)
    base.paste(image, mask=image.getchannel("A"))
    return base


def _blocks(image: Image.Image) -> Image.Image:
    return image.reduce(min(_BLOCK, *image.size))


def _difference(one: Image.Image, other: Image.Image) -> float:
    means = ImageStat.Stat(ImageChops.difference(one, other)).mean
    return sum(means) / len(means)


def _lowest_alpha(image: Image.Image) -> int:
    return cast("int", image.getchannel("A").getextrema()[0])
