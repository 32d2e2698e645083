"""What Pillow's decoders raise, as errors of our own. Used around everything that opens or decodes.

What a library says never reaches a user; it goes along as the error's `cause`, for the log.
"""

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from imagebatch_jobrunner.decoder.errors import BAD_HEADER, DAMAGED, corrupt, rare, truncated
from imagebatch_jobrunner.decoder.formats.format import Format
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
    (re.compile(r"cannot identify|not an? |header|magic|broken png file"), BAD_HEADER),
)
_MAX_CAUSE_CHARS = 200


@contextmanager
def decoding(data: bytes, image_format: Format) -> Iterator[None]:
    """Turn what a decoder of that file raises into CodecError."""
    try:
        yield
    except (CodecError, MemoryError):
        raise
    except Exception as error:
        translated = _translated(error, data, image_format)
        translated.cause = _cause(error)
        raise translated from error


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_MAX_CAUSE_CHARS]


def _translated(error: Exception, data: bytes, image_format: Format) -> CodecError:
    words = str(error).lower()
    if isinstance(error, EOFError) or any(word in words for word in _TRUNCATED_WORDS):
        return truncated()
    kind = next((found.expand(kind) for sign, kind in _RARE_WORDS if (found := sign.match(words))), None)
    if kind is not None:
        return rare(image_format.name, kind)
    if is_truncated(data, image_format):
        return truncated()
    return corrupt(next((damage for sign, damage in _DAMAGES if sign.search(words)), DAMAGED))


def is_truncated(data: bytes, image_format: Format) -> bool:
    """Whether the file's own structure places its end behind its bytes."""
    if image_format.end is None:
        return False
    try:
        return image_format.end(data) > len(data)
    except (struct.error, IndexError):
        return True  # it ends within its own structure
