"""Encoding a picture in a format. Deterministic: the same picture and choice give the same bytes.

Used by `compress`. Speeds are chosen by measurement, 1.2 megapixels each: WebP method 2 takes 15 ms
against 36 ms for method 4, for 4% more bytes; AVIF speed 9 takes 35 ms against 392 ms for speed 6, for
20% more. `optimize` asks for the slower ones.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, PngImagePlugin

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec.formats import FormatName
from imagebatch_jobrunner.decoder import metadata, pillow_state
from imagebatch_jobrunner.decoder.colour import modes
from imagebatch_jobrunner.decoder.colour.modes import Coloured
from imagebatch_jobrunner.decoder.picture import Picture
from imagebatch_jobrunner.errors import CodecError

METADATA_DROPPED = "metadata_dropped"

_DEFAULT_SUBSAMPLING = 2
_WHITE = (255, 255, 255)
_WEBP_FLAGS_AT, _WEBP_ALPHA = 20, 0x10


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How to encode. `subsampling` is in Pillow's numbers, None for 4:2:0; only JPEG
    heeds it, and only WebP heeds `lossless`.
    """

    format: FormatName
    quality: int | None
    subsampling: int | None = None
    progressive: bool = False
    optimize: bool = False
    lossless: bool = False

    @classmethod
    def of(
        cls, name: FormatName, quality: int | None, subsampling: int | None, options: Compression
    ) -> "Wish":
        return cls(
            format=name,
            quality=quality,
            subsampling=subsampling,
            progressive=options.progressive,
            optimize=options.optimize,
        )


@dataclass(frozen=True, slots=True)
class Encoded:
    """A file, and what had to be given up for its format."""

    data: bytes
    notes: tuple[str, ...] = ()


def encode(picture: Picture, wish: Wish) -> Encoded:
    """Raises CodecError `encode_failed`."""
    fitted, notes = _fitted(picture, wish.format)
    try:
        return Encoded(_ENCODERS[wish.format](fitted, wish), notes)
    except MemoryError:
        raise
    except Exception as error:
        if fitted.metadata != metadata.NONE:  # the usual reason: a block too long for its format
            bare = encode(replace(picture, metadata=metadata.NONE), wish)
            return Encoded(bare.data, (*bare.notes, METADATA_DROPPED))
        text = " ".join(str(error).split()) or type(error).__name__
        raise CodecError(ErrorCode.ENCODE_FAILED, f"{wish.format}: {text[:200]}") from error


def is_animated(data: bytes) -> bool:
    """Whether a file of ours moves: encoders make one frame of frames that look the same."""
    with Image.open(io.BytesIO(data)) as image:
        return getattr(image, "n_frames", 1) > 1


def _fitted(picture: Picture, name: FormatName) -> "tuple[Picture, tuple[str, ...]]":
    """The picture as far as the format can say it, and notes of what it can't."""
    notes: list[str] = []
    if picture.is_animated and name == "jpeg":
        picture = replace(picture, frames=picture.frames[:1], durations_ms=picture.durations_ms[:1])
        notes.append("first_frame")
    if name == "jpeg" and picture.first.mode == "RGBA":
        if modes.is_transparent(picture.first):
            notes.append("flattened")
        picture = replace(picture, frames=(_on_white(picture.first),))
    if name in {"webp", "avif"} and picture.first.mode == "L":
        rgb = modes.as_rgb(Coloured(picture.first, picture.profile))
        picture = replace(picture, frames=(rgb.image,), profile=rgb.profile)
    return picture, tuple(notes)


def _on_white(image: Image.Image) -> Image.Image:
    ground = Image.new("RGB", image.size, _WHITE)
    ground.paste(image, mask=image.getchannel("A"))
    return ground


def _jpeg(picture: Picture, wish: Wish) -> bytes:
    # For these libjpeg needs the whole file in one buffer, and Pillow's guess of it is too small for little
    # pictures with much detail ("broken data stream").
    is_in_one_piece = wish.optimize or wish.progressive
    with pillow_state.block_of(4 * picture.first.width * picture.first.height if is_in_one_piece else 0):
        return _saved(
            picture,
            "JPEG",
            quality=wish.quality,
            subsampling=_DEFAULT_SUBSAMPLING if wish.subsampling is None else wish.subsampling,
            progressive=wish.progressive,
            optimize=wish.optimize,
            exif=picture.metadata.exif,
            xmp=picture.metadata.xmp,
        )


def _png(picture: Picture, wish: Wish) -> bytes:
    text = PngImagePlugin.PngInfo()
    if picture.metadata.xmp:
        text.add_itxt("XML:com.adobe.xmp", picture.metadata.xmp.decode("utf-8", "replace"))
    return _saved(
        picture,
        "PNG",
        optimize=wish.optimize,
        exif=picture.metadata.exif,
        pnginfo=text,
        **_timing(picture),
    )


def _webp(picture: Picture, wish: Wish) -> bytes:
    data = _saved(
        picture,
        "WEBP",
        quality=wish.quality,
        method=4 if wish.optimize else 2,
        lossless=wish.lossless,
        exif=picture.metadata.exif.removeprefix(b"Exif\0\0"),
        xmp=picture.metadata.xmp,
        **_timing(picture),
    )
    return _saying_alpha(data) if picture.is_animated and picture.is_transparent else data


def _saying_alpha(data: bytes) -> bytes:
    """With the flag for transparency (RFC 9649, 2.7.1), which libwebp leaves out when no frame has an alpha
    channel of its own because their rectangles leave the transparent pixels out: they would be black.
    """
    if data[12:16] != b"VP8X":
        return data
    return data[:_WEBP_FLAGS_AT] + bytes((data[_WEBP_FLAGS_AT] | _WEBP_ALPHA,)) + data[_WEBP_FLAGS_AT + 1 :]


def _avif(picture: Picture, wish: Wish) -> bytes:
    return _saved(
        picture,
        "AVIF",
        quality=wish.quality,
        speed=6 if wish.optimize else 9,
        max_threads=1,
        exif=picture.metadata.exif,
        xmp=picture.metadata.xmp,
        **_timing(picture),
    )


def _gif(picture: Picture, wish: Wish) -> bytes:
    timing = _timing(picture)
    if picture.plays == 1:
        timing.pop("loop", None)
    elif picture.plays > 1:
        timing["loop"] = picture.plays - 1
    return _saved(picture, "GIF", optimize=wish.optimize, **timing)


def _timing(picture: Picture) -> dict[str, Any]:
    if not picture.is_animated:
        return {}
    return {
        "save_all": True,
        "append_images": list(picture.frames[1:]),
        "duration": list(picture.durations_ms),
        "loop": picture.plays,
    }


def _saved(picture: Picture, pillow_format: str, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's own
    given = {name: value for name, value in options.items() if value is not None and value != b""}
    image = picture.first
    image.info = {}  # Pillow would save what the decoder left there
    buffer = io.BytesIO()
    image.save(buffer, pillow_format, icc_profile=picture.profile or None, **given)
    return buffer.getvalue()


_ENCODERS: dict[FormatName, Callable[[Picture, Wish], bytes]] = {
    "jpeg": _jpeg,
    "png": _png,
    "webp": _webp,
    "avif": _avif,
    "gif": _gif,
}
