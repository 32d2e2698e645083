"""Opening an image: its header is read and checked, nothing is decoded yet.

Used by `compress`.
"""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass

from PIL import (  # each puts its format into Pillow's table; all there are would take 20 ms more
    AvifImagePlugin,  # noqa: F401
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    IcoImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,
    MpoImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    PsdImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec import formats
from imagebatch_jobrunner.codec.formats import FormatName, ImageFormat
from imagebatch_jobrunner.decoder import dropped_content, pillow_state, quality
from imagebatch_jobrunner.decoder.colour import tags
from imagebatch_jobrunner.decoder.colour.spaces import ColourSpace
from imagebatch_jobrunner.decoder.containers import jpeg_segments, png_chunks
from imagebatch_jobrunner.decoder.errors import decoding, too_many_pixels
from imagebatch_jobrunner.decoder.formats import bmp, ico, psd, tiff
from imagebatch_jobrunner.decoder.opened import Finish, Opened
from imagebatch_jobrunner.decoder.quality import SourceQuality
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits

_ANIMATED = frozenset({formats.GIF, formats.WEBP, formats.PNG, formats.AVIF})
_SUBSAMPLINGS = {(1, 1): 0, (2, 1): 1, (2, 2): 2}
_WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})


@dataclass(frozen=True, slots=True)
class Source:
    """What a file's header says. `width` and `height` are as stored, before any rotation.

    `space` is what the file tells of its colours outside an ICC profile; `finish` is for the decoded image.
    `samplings` are a JPEG's factors across and down, by component.
    """

    data: bytes
    format: ImageFormat
    quality: SourceQuality
    width: int
    height: int
    frames: int
    subsampling: int | None
    orientation: int
    is_deep: bool
    may_be_transparent: bool
    space: ColourSpace | None
    finish: Finish
    is_progressive: bool
    samplings: tuple[tuple[int, int], ...]

    @property
    def is_animated(self) -> bool:
        return self.frames > 1

    @property
    def is_streamable(self) -> bool:
        """Whether a JPEG can be requantised block by block."""
        return not self.is_progressive and self.orientation == 1


def open_source(data: bytes, limits: PictureLimits) -> tuple[Image.Image, Source]:
    """Read the header. Raises CodecError; what is over a limit is refused before it is decoded.

    The image is not decoded yet. Drop it after that: WebP's decoder keeps three pictures as long as it lives.
    """
    if not data:
        raise CodecError(ErrorCode.EMPTY_FILE, "the file has no bytes")
    image_format = formats.recognise(data)
    data, opened = _opened(data, image_format, limits)
    image = opened.image
    with decoding(data, image_format):
        frames = getattr(image, "n_frames", 1) if image_format in _ANIMATED else 1
    _check_limits(image, image_format, frames, limits)
    source = Source(
        data=data,
        format=image_format,
        quality=_quality(data, image, image_format),
        width=image.width,
        height=image.height,
        frames=frames,
        subsampling=_subsampling(image),
        orientation=orientation(image),
        is_deep=dropped_content.is_deep(data, image, image_format),
        may_be_transparent=image_format == formats.ICO
        or image.has_transparency_data
        or image.mode in _WITH_ALPHA,
        space=_space(data, opened, image_format),
        finish=opened.finish,
        is_progressive="progressive" in image.info,
        samplings=tuple((across, down) for _, across, down, _ in getattr(image, "layer", ())),
    )
    return image, source


def _opened(data: bytes, image_format: ImageFormat, limits: PictureLimits) -> tuple[bytes, Opened]:
    """The image, and the file that it is of: a PNG's damaged extras are left out."""
    try:
        return data, _open(data, image_format, limits)
    except CodecError:
        mended = png_chunks.without_damaged_extras(data) if image_format == formats.PNG else data
        if mended is data:
            raise
    return mended, _open(mended, image_format, limits)


def _open(data: bytes, image_format: ImageFormat, limits: PictureLimits) -> Opened:
    with decoding(data, image_format), pillow_state.decoding_up_to(limits.max_pixels):
        try:
            return _OPENERS[image_format.name](data)
        except Image.DecompressionBombError as error:
            raise _bomb(str(error), limits) from None


def _bomb(text: str, limits: PictureLimits) -> CodecError:
    """Of a decoder that refuses by itself; Pillow's message tells the number of pixels first."""
    pixels = next(iter(re.findall("[0-9]+", text)), "more")
    return CodecError(
        ErrorCode.TOO_MANY_PIXELS, f"the picture has {pixels} pixels; the limit is {limits.max_pixels}"
    )


def _by_pillow(image_format: ImageFormat) -> Callable[[bytes], Opened]:
    return lambda data: Opened(Image.OPEN[image_format.pillow][0](io.BytesIO(data), ""))


def _jpeg(data: bytes) -> Opened:
    """Its decoder wants an end marker; whether anything else is missing `jpeg_whole` finds out."""
    return _by_pillow(formats.JPEG)(jpeg_segments.with_end(data) if jpeg_segments.lacks_end(data) else data)


def _space(data: bytes, opened: Opened, image_format: ImageFormat) -> ColourSpace | None:
    has_profile = bool(opened.image.info.get("icc_profile"))
    if opened.inner:
        return tags.described(opened.inner, formats.PNG, has_profile=has_profile)
    return tags.described(data, image_format, has_profile=has_profile)


def check_pixels(source: Source, most: int) -> None:
    """Raises CodecError `too_many_pixels`."""
    if source.width * source.height > most:
        raise too_many_pixels(source.width, source.height, most)


def _check_limits(image: Image.Image, image_format: ImageFormat, frames: int, limits: PictureLimits) -> None:
    """Of a JPEG only what none may have; which limit it has depends on what is to become of it."""
    if frames > limits.max_frames:
        raise CodecError(
            ErrorCode.TOO_MANY_FRAMES, f"the animation has {frames} frames; the limit is {limits.max_frames}"
        )
    size, pixels = f"{image.width} x {image.height}", image.width * image.height
    most = limits.max_streamed_pixels if image_format == formats.JPEG else limits.max_pixels
    if pixels > most:
        raise too_many_pixels(image.width, image.height, limits.max_pixels)
    if frames > 1 and pixels * frames > limits.max_animation_pixels:
        raise CodecError(
            ErrorCode.TOO_MANY_PIXELS,
            f"the animation has {frames} frames of {size} pixels; "
            f"the limit of all is {limits.max_animation_pixels}",
        )


def _quality(data: bytes, image: Image.Image, image_format: ImageFormat) -> SourceQuality:
    if image_format == formats.JPEG:
        return quality.estimate(getattr(image, "quantization", {}))
    is_lossless_webp = image_format == formats.WEBP and b"VP8L" in data[12:64]
    if image_format in {formats.WEBP, formats.AVIF} and not is_lossless_webp:
        return quality.UNTOLD
    return quality.LOSSLESS


def _subsampling(image: Image.Image) -> int | None:
    """A JPEG's chroma subsampling in Pillow's numbers: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.layers not in {3, 4}:
        return None
    first, *colours = [(across, down) for _, across, down, _ in image.layer[:3]]
    return _SUBSAMPLINGS.get(first) if set(colours) == {(1, 1)} else None


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it can't be read.

    Like browsers, and unlike `Image.getexif`, it does not ask the XMP.
    """
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        found = exif.get(0x0112, 1)
    except Exception:  # noqa: BLE001 - damaged EXIF raises anything; the picture itself is fine
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


_OPENERS: dict[FormatName, Callable[[bytes], Opened]] = {
    **{one.name: _by_pillow(one) for one in (formats.PNG, formats.WEBP, formats.GIF, formats.AVIF)},
    "jpeg": _jpeg,
    "bmp": bmp.opened,
    "tiff": tiff.opened,
    "ico": ico.opened,
    "psd": psd.opened,
}
