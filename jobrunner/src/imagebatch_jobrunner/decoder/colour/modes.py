"""Colours: every mode a decoder yields becomes L, RGB or RGBA of 8 bits, with a profile that fits.

Used by `decode` and `encode`.
"""

import io
from dataclasses import dataclass
from typing import cast

from PIL import Image, ImageCms, ImageMath

from imagebatch_jobrunner.decoder.colour import spaces
from imagebatch_jobrunner.decoder.colour.spaces import ColourSpace

_SIGNATURE = slice(16, 20)
_SPACES = {b"GRAY": "L", b"RGB ": "RGB", b"CMYK": "CMYK", b"Lab ": "LAB"}
_EIGHT_BITS = 255
_DEEP_MODES = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I", "F"})
DEPTH_REDUCED = "depth_reduced"
CONVERTED = "colours_converted"


@dataclass(frozen=True, slots=True)
class Coloured:
    """A picture in mode L, RGB or RGBA, and the ICC profile its numbers are to be read by, if any."""

    image: Image.Image
    profile: bytes
    notes: tuple[str, ...] = ()


def normalised(image: Image.Image, space: ColourSpace | None = None) -> Coloured:
    """A loaded frame in an encodable mode; colours that its profile could not explain there are converted.

    So are those of a `space` that a file names outside a profile; it takes the place of the profile.
    """
    found = _in_plain_mode(image, b"" if space else image.info.get("icc_profile") or b"")
    if space is None or spaces.is_srgb(space) or CONVERTED in found.notes:
        return found
    return Coloured(spaces.to_srgb(found.image, space), b"", (*found.notes, CONVERTED))


def _in_plain_mode(image: Image.Image, profile: bytes) -> Coloured:
    if image.mode in _DEEP_MODES:
        grey, key = _eight_bits(image), image.info.get("transparency")
        if isinstance(key, int):
            grey = _with_alpha(Image.merge("LA", (grey, _all_but(image, key))))
        fits = _space(profile) == "L" and grey.mode == "L"
        return Coloured(grey, profile if fits else b"", (DEPTH_REDUCED,))
    plain = _plain(image)
    if plain.mode in {"CMYK", "LAB"}:
        return _from_print_colours(plain, profile)
    if plain.mode == "RGBA" and _space(profile) == "L":
        return _grey_with_alpha(plain, profile)
    fits = _space(profile) == ("L" if plain.mode == "L" else "RGB")
    return Coloured(plain, profile if fits else b"")


def _grey_with_alpha(image: Image.Image, profile: bytes) -> Coloured:
    """sRGB of grey in RGBA, for no format has both a grey profile and three colours."""
    converted = _by_profile(image.getchannel("R"), profile)
    if converted is None:
        return Coloured(image, b"")
    converted.putalpha(image.getchannel("A"))
    return Coloured(converted, b"", (CONVERTED,))


def as_rgb(coloured: Coloured) -> Coloured:
    """The same colours in RGB or RGBA, for formats that know no greyscale."""
    if coloured.image.mode != "L":
        return coloured
    converted = _by_profile(coloured.image, coloured.profile) if coloured.profile else None
    return Coloured(converted or coloured.image.convert("RGB"), b"", coloured.notes)


def is_transparent(image: Image.Image) -> bool:
    """Whether any pixel is not fully opaque."""
    if image.mode != "RGBA":
        return False
    lowest, _ = image.getchannel("A").getextrema()
    return cast(int, lowest) < _EIGHT_BITS


def _plain(image: Image.Image) -> Image.Image:
    """L, RGB, RGBA, CMYK or LAB."""
    if image.has_transparency_data or image.mode in {"LA", "PA", "RGBA", "RGBa", "La"}:
        return _with_alpha(image)
    if image.mode in {"1", "L"}:
        return image.convert("L")
    if image.mode in {"RGB", "CMYK", "LAB"}:
        return image
    return image.convert("RGB")


def _with_alpha(image: Image.Image) -> Image.Image:
    """RGBA; but an alpha channel that says nothing is dropped."""
    if image.mode == "La":
        rgba = image.convert("LA").convert("RGBA")
    else:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    if is_transparent(rgba):
        return rgba
    return rgba.convert("L" if image.mode in {"1", "L", "LA", "La"} else "RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Greyscale of 16 or 32 bits to 8: 16 bits by their upper byte, others by the range that they use."""
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    low, high = cast(tuple[float, float], image.getextrema())
    if low >= 0 and high <= _EIGHT_BITS:
        return image.convert("L")
    top = 65_535.0 if image.mode == "I" and low >= 0 and high <= 65_535 else None
    base, span = (0.0, top) if top else (low, high - low or 1.0)
    scale = _EIGHT_BITS / span
    return image.convert("F").point(lambda value: value * scale + -base * scale).convert("L")


def _all_but(image: Image.Image, key: int) -> Image.Image:
    """Opaque wherever a deep greyscale picture does not have the value that stands for transparent."""
    deep = image.convert("I")
    other: Image.Image = ImageMath.lambda_eval(lambda names: names["deep"] != key, deep=deep)
    return other.point(lambda value: value * _EIGHT_BITS).convert("L")


def _from_print_colours(image: Image.Image, profile: bytes) -> Coloured:
    """sRGB of CMYK or Lab, through the profile where it is one for that."""
    converted = _by_profile(image, profile) if _space(profile) == image.mode else None
    if converted is not None:
        return Coloured(converted, b"", (CONVERTED,))
    if image.mode == "LAB":
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        return Coloured(_to_srgb(image, lab), b"", (CONVERTED,))
    return Coloured(image.convert("RGB"), b"", (CONVERTED,))


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture in sRGB; None when the profile is not usable."""
    try:
        return _to_srgb(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _to_srgb(image: Image.Image, source: ImageCms.ImageCmsProfile) -> Image.Image:
    converted = ImageCms.profileToProfile(
        image,
        source,
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None
    return converted


def _space(profile: bytes) -> str:
    """The mode whose numbers a profile explains; empty where there is none."""
    return _SPACES.get(bytes(profile[_SIGNATURE]), "")
