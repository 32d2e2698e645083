"""The errors of pictures, in words of our own: the file's end is missing (`truncated`), its data is
damaged (`corrupt`), or it is of a kind that is not decoded (`unsupported_format`). Used by all that opens
or decodes.
"""

from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.errors import CodecError

DAMAGED = "its picture data is damaged"
BAD_HEADER = "its header is damaged"


def rare(format_name: str, kind: str) -> CodecError:
    """A file that may be whole, of a kind that is not decoded."""
    return CodecError(
        ErrorCode.UNSUPPORTED_FORMAT, f"the file is {format_name.upper()} of a rare kind: {kind}"
    )


def camera_raw() -> CodecError:
    return CodecError(
        ErrorCode.UNSUPPORTED_FORMAT, "the file is a camera raw picture, without a preview in full size"
    )


def truncated() -> CodecError:
    return CodecError(ErrorCode.TRUNCATED, "the file ends before its last pixel")


def corrupt(words: str = DAMAGED) -> CodecError:
    return CodecError(ErrorCode.CORRUPT, f"the file is damaged: {words}")


def too_many_pixels(width: int, height: int, limit: int) -> CodecError:
    return CodecError(
        ErrorCode.TOO_MANY_PIXELS, f"the picture has {width} x {height} pixels; the limit is {limit}"
    )
