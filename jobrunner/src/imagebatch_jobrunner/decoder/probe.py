"""Reading a file's header and checking it against the limits; nothing is decoded. Used by `compress`."""

import re

from PIL import Image

from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.decoder import pillow_state
from imagebatch_jobrunner.decoder.errors import too_many_pixels
from imagebatch_jobrunner.decoder.formats.format import Format, Opened
from imagebatch_jobrunner.decoder.jpeg import header
from imagebatch_jobrunner.decoder.metadata import orientation
from imagebatch_jobrunner.decoder.pillow_errors import decoding
from imagebatch_jobrunner.decoder.recognise import recognise
from imagebatch_jobrunner.decoder.source import Source
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits

_WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})


def open_source(data: bytes, limits: PictureLimits) -> tuple[Image.Image, Source]:
    """Read the header. Raises CodecError; what is over a limit is refused before it is decoded.

    The image is not decoded yet. Drop it once it is: WebP's decoder keeps three pictures as long as it
    lives.
    """
    if not data:
        raise CodecError(ErrorCode.EMPTY_FILE, "the file has no bytes")
    image_format = recognise(data)
    data, opened = _opened(data, image_format, limits)
    image = opened.image
    with decoding(data, image_format):
        frames = getattr(image, "n_frames", 1) if image_format.can_be_animated else 1
    _check_limits(image, image_format, frames, limits)
    source = Source(
        data=data,
        format=image_format,
        quality=image_format.quality(data, image),
        width=image.width,
        height=image.height,
        frames=frames,
        orientation=orientation(image),
        is_deep=image_format.is_deep(data, image),
        may_be_transparent=(
            image_format.has_mask or image.has_transparency_data or image.mode in _WITH_ALPHA
        ),
        space=image_format.colour_space(data, bool(image.info.get("icc_profile"))),
        finish=opened.finish,
        jpeg=header.read(image),
    )
    return image, source


def check_pixels(source: Source, most: int) -> None:
    """Raises CodecError `too_many_pixels`."""
    if source.width * source.height > most:
        raise too_many_pixels(source.width, source.height, most)


def _opened(data: bytes, image_format: Format, limits: PictureLimits) -> tuple[bytes, Opened]:
    """The image, and the file that it is of, which may have had to be repaired."""
    try:
        return data, _open(data, image_format, limits)
    except CodecError:
        repaired = image_format.repaired(data)
        if repaired is data:
            raise
    return repaired, _open(repaired, image_format, limits)


def _open(data: bytes, image_format: Format, limits: PictureLimits) -> Opened:
    with decoding(data, image_format), pillow_state.decoding_up_to(limits.max_pixels):
        try:
            return image_format.open(data)
        except Image.DecompressionBombError as error:
            raise _bomb(str(error), limits) from None


def _bomb(text: str, limits: PictureLimits) -> CodecError:
    """For a decoder that refuses by itself; the first number in Pillow's message is that of the pixels."""
    pixels = next(iter(re.findall("[0-9]+", text)), "more")
    return CodecError(
        ErrorCode.TOO_MANY_PIXELS, f"the picture has {pixels} pixels; the limit is {limits.max_pixels}"
    )


def _check_limits(image: Image.Image, image_format: Format, frames: int, limits: PictureLimits) -> None:
    """A picture that may be streamed must only keep to the higher limit here: `check_pixels` applies the
    lower one when it turns out to be decoded.
    """
    if frames > limits.max_frames:
        raise CodecError(
            ErrorCode.TOO_MANY_FRAMES, f"the animation has {frames} frames; the limit is {limits.max_frames}"
        )
    size, pixels = f"{image.width} x {image.height}", image.width * image.height
    most = limits.max_streamed_pixels if image_format.is_streamable else limits.max_pixels
    if pixels > most:
        raise too_many_pixels(image.width, image.height, limits.max_pixels)
    if frames > 1 and pixels * frames > limits.max_animation_pixels:
        raise CodecError(
            ErrorCode.TOO_MANY_PIXELS,
            f"the animation has {frames} frames of {size} pixels; "
            f"the limit of all is {limits.max_animation_pixels}",
        )
