"""Opening an image: its header is read and checked, nothing is decoded yet.

Used by `compress`. What the decoders raise is told apart here: the file's end is missing (`truncated`),
or its data is damaged (`corrupt`).
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import AvifImagePlugin, Image, JpegImagePlugin, UnidentifiedImageError

from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec import endings, extras, formats, png_structure, quality
from imagebatch_jobrunner.codec.formats import ImageFormat
from imagebatch_jobrunner.codec.quality import SourceQuality
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits

AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # one codec process a core is the parallelism

_ANIMATED = frozenset({formats.GIF, formats.WEBP, formats.PNG, formats.AVIF})
_TRUNCATED_WORDS = (
    "truncated", "unexpected end", "not enough data", "not enough image data", "premature end", "too short",
)  # fmt: skip
_RARE_JPEG = re.compile(r"cannot handle (12|16)-bit layers")
_FLOAT_SAMPLES = 3
_MAX_DETAIL_CHARS = 200
_SUBSAMPLINGS = {(1, 1): 0, (2, 1): 1, (2, 2): 2}
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
    data, image = _opened(data, image_format, limits)
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


def _opened(data: bytes, image_format: ImageFormat, limits: PictureLimits) -> tuple[bytes, Image.Image]:
    """The image, and the file that it is of: a PNG's damaged extras are left out."""
    try:
        return data, _open(data, image_format, limits)
    except CodecError:
        mended = png_structure.without_damaged_extras(data) if image_format == formats.PNG else data
        if mended is data:
            raise
    return mended, _open(mended, image_format, limits)


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
    if isinstance(error, UnidentifiedImageError):
        error = _refusal(data, image_format) or error
    text = str(error)
    words = text.lower()
    if isinstance(error, EOFError) or any(word in words for word in _TRUNCATED_WORDS):
        return _truncated()
    if words.startswith("unsupported"):
        return _rare(image_format, words)
    if endings.is_cut(data, image_format):
        return _truncated()
    if isinstance(error.__cause__, KeyError) and image_format in {formats.TIFF, formats.PSD}:
        return _rare(image_format, _kind(error.__cause__.args[0]))
    if _RARE_JPEG.match(text):
        return _rare(image_format, words)
    detail = " ".join(text.split())[:_MAX_DETAIL_CHARS] or type(error).__name__
    return CodecError(ErrorCode.CORRUPT, f"the decoder says: {detail}")


def _refusal(data: bytes, image_format: ImageFormat) -> Exception | None:
    """Why the decoder does not take the header; `Image.open` does not pass that on."""
    decoder = Image.OPEN[image_format.pillow][0]
    try:
        decoder(io.BytesIO(data), "").close()
    except Exception as error:  # noqa: BLE001 - it is what is asked for
        return error
    return None


def _kind(key: object) -> str:
    """What Pillow did not find in its tables of PSD's and TIFF's kinds."""
    match key:
        case int():
            return f"compression {key}"
        case (int(), int(bits)):
            return f"{bits} bits a channel"
        case (bytes(), int(), tuple(samples), int(), tuple(bits), tuple()):
            pixels = " + ".join(map(str, bits[:8]))
            return f"pixels of {pixels} bits" + (", floating point" if _FLOAT_SAMPLES in samples else "")
    return "its pixels"


def _rare(image_format: ImageFormat, kind: str) -> CodecError:
    name = image_format.name.upper()
    return CodecError(ErrorCode.UNSUPPORTED_FORMAT, f"the file is {name} of a rare kind: {kind}")


def _truncated() -> CodecError:
    return CodecError(ErrorCode.TRUNCATED, "the file ends before its last pixel")
