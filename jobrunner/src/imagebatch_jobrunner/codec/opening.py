"""Opening an image: its header is read and checked, nothing is decoded yet.

Used by `compress`. What the decoders raise is told apart here: the file's end is missing (`truncated`),
or its data is damaged (`corrupt`).
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import AvifImagePlugin, Image, JpegImagePlugin

from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec import endings, extras, formats, quality
from imagebatch_jobrunner.codec.formats import ImageFormat
from imagebatch_jobrunner.codec.quality import SourceQuality
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # one codec process a core is the parallelism

_ANIMATED = frozenset({formats.GIF, formats.WEBP, formats.PNG, formats.AVIF})
_TRUNCATED_WORDS = (
    "truncated", "unexpected end", "not enough data", "not enough image data", "premature end", "too short",
)  # fmt: skip
_MAX_DETAIL_CHARS = 200
_WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})


@dataclass(frozen=True, slots=True)
class Source:
    """What a file's header says. `width` and `height` are as stored, before any rotation."""

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

    @property
    def is_animated(self) -> bool:
        return self.frames > 1


def open_source(data: bytes, limits: PictureLimits) -> tuple[Image.Image, Source]:
    """Read the header. Raises CodecError; what is over a limit is refused before it is decoded.

    The image is not decoded yet. Drop it after that: WebP's decoder keeps three pictures as long as it lives.
    """
    if not data:
        raise CodecError(ErrorCode.EMPTY_FILE, "the file has no bytes")
    image_format = formats.recognise(data)
    image = _open(data, image_format, limits)
    with decoding(data, image_format):
        frames = getattr(image, "n_frames", 1) if image_format in _ANIMATED else 1
    _check_limits(image, frames, limits)
    source = Source(
        data=data,
        format=image_format,
        quality=_quality(data, image, image_format),
        width=image.width,
        height=image.height,
        frames=frames,
        subsampling=_subsampling(image),
        orientation=orientation(image),
        is_deep=extras.is_deep(data, image, image_format),
        may_be_transparent=image.has_transparency_data or image.mode in _WITH_ALPHA,
    )
    return image, source


def _open(data: bytes, image_format: ImageFormat, limits: PictureLimits) -> Image.Image:
    # Some decoders allocate the picture while they open it, after asking Pillow's own limit, which
    # refuses at twice this number.
    Image.MAX_IMAGE_PIXELS = (limits.max_pixels + 1) // 2
    with decoding(data, image_format):
        return Image.open(io.BytesIO(data), formats=[image_format.pillow])


def _check_limits(image: Image.Image, frames: int, limits: PictureLimits) -> None:
    if frames > limits.max_frames:
        raise CodecError(
            ErrorCode.TOO_MANY_FRAMES, f"the animation has {frames} frames; the limit is {limits.max_frames}"
        )
    size, pixels = f"{image.width} x {image.height}", image.width * image.height
    if pixels > limits.max_pixels:
        raise CodecError(
            ErrorCode.TOO_MANY_PIXELS, f"the picture has {size} pixels; the limit is {limits.max_pixels}"
        )
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
    found = JpegImagePlugin.get_sampling(image)
    return found if found >= 0 else None


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


@contextmanager
def decoding(data: bytes, image_format: ImageFormat) -> Iterator[None]:
    """Turn what a decoder of that file raises into CodecError."""
    try:
        yield
    except (CodecError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise CodecError(ErrorCode.TOO_MANY_PIXELS, "the picture has more pixels than the limit") from None
    except Exception as error:
        raise _decoder_error(error, data, image_format) from error


def _decoder_error(error: Exception, data: bytes, image_format: ImageFormat) -> CodecError:
    text = str(error)
    words = text.lower()
    if isinstance(error, EOFError) or any(word in words for word in _TRUNCATED_WORDS):
        return _truncated()
    if words.startswith("unsupported"):
        name = image_format.name.upper()
        return CodecError(ErrorCode.UNSUPPORTED_FORMAT, f"the file is {name} of a rare kind: {words}")
    if endings.is_cut(data, image_format):
        return _truncated()
    if "BytesIO object" in text:  # Pillow's "cannot identify image file <_io.BytesIO object at …>"
        return CodecError(ErrorCode.CORRUPT, "the file's header is damaged")
    detail = " ".join(text.split())[:_MAX_DETAIL_CHARS] or type(error).__name__
    return CodecError(ErrorCode.CORRUPT, f"the decoder says: {detail}")


def _truncated() -> CodecError:
    return CodecError(ErrorCode.TRUNCATED, "the file ends before its last pixel")
