"""What decoders raise, in words of our own: the file's end is missing (`truncated`), its data is damaged
(`corrupt`), or it is of a kind that is not decoded (`unsupported_format`).

What a library says never reaches a user; it goes along as the error's `cause`, for the log. Used by all
that opens or decodes.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, UnidentifiedImageError

from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec.formats import ImageFormat
from imagebatch_jobrunner.decoder import truncation
from imagebatch_jobrunner.errors import CodecError

_TRUNCATED_WORDS = (
    "truncated", "unexpected end", "not enough data", "not enough image data", "premature end", "too short",
)  # fmt: skip
_RARE_WORDS = (
    (re.compile(r"cannot handle (12|16)-bit layers"), r"\1-bit samples"),
    (re.compile(r"unsupported bmp bitfields"), "other colour masks"),
    (re.compile(r"unsupported bmp pixel depth \((\d+)\)"), r"\1 bits a pixel"),
    (re.compile(r"unsupported bmp compression \((\d+)\)"), r"compression \1"),
    (re.compile(r"unsupported bmp header type \((\d+)\)"), r"a header of \1 bytes"),
    (re.compile(r"unsupported(?! bmp palette)"), "its layout"),
    (re.compile(r"unknown (raw|pixel) mode"), "its layout"),
)
_DAMAGES = (
    (re.compile(r"bad header checksum"), "bad header checksum"),
    (re.compile(r"checksum|crc"), "a checksum is wrong"),
    (re.compile(r"palette"), "its palette is damaged"),
    (re.compile(r"dimension|size"), "its size is damaged"),
    (re.compile(r"cannot identify|not an? |header|magic|broken png file"), "its header is damaged"),
)
_DAMAGED = "its picture data is damaged"
_MAX_CAUSE_CHARS = 200


def rare(image_format: ImageFormat, kind: str) -> CodecError:
    """A file that may be whole, of a kind that is not decoded."""
    name = image_format.name.upper()
    return CodecError(ErrorCode.UNSUPPORTED_FORMAT, f"the file is {name} of a rare kind: {kind}")


def camera_raw() -> CodecError:
    return CodecError(
        ErrorCode.UNSUPPORTED_FORMAT, "the file is a camera raw picture, without a preview in full size"
    )


def truncated() -> CodecError:
    return CodecError(ErrorCode.TRUNCATED, "the file ends before its last pixel")


def corrupt(words: str = _DAMAGED) -> CodecError:
    return CodecError(ErrorCode.CORRUPT, f"the file is damaged: {words}")


def too_many_pixels(width: int, height: int, limit: int) -> CodecError:
    return CodecError(
        ErrorCode.TOO_MANY_PIXELS, f"the picture has {width} x {height} pixels; the limit is {limit}"
    )


@contextmanager
def decoding(data: bytes, image_format: ImageFormat) -> Iterator[None]:
    """Turn what a decoder of that file raises into CodecError."""
    try:
        yield
    except (CodecError, MemoryError):
        raise
    except Exception as error:
        found = _told(error, data, image_format)
        found.cause = _cause(error)
        raise found from error


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_MAX_CAUSE_CHARS]


def _told(error: Exception, data: bytes, image_format: ImageFormat) -> CodecError:
    if isinstance(error, UnidentifiedImageError):
        error = _refusal(data, image_format) or error
    words = str(error).lower()
    if isinstance(error, EOFError) or any(word in words for word in _TRUNCATED_WORDS):
        return truncated()
    kind = next((found.expand(kind) for sign, kind in _RARE_WORDS if (found := sign.match(words))), None)
    if kind is not None:
        return rare(image_format, kind)
    if truncation.is_cut(data, image_format):
        return truncated()
    return corrupt(next((damage for sign, damage in _DAMAGES if sign.search(words)), _DAMAGED))


def _refusal(data: bytes, image_format: ImageFormat) -> Exception | None:
    """Why the decoder does not take the header; `Image.open` does not pass that on."""
    decoder = Image.OPEN[image_format.pillow][0]
    try:
        decoder(io.BytesIO(data), "").close()
    except Exception as error:  # noqa: BLE001 - it is what is asked for
        return error
    return None
