"""Removing metadata from a file whose picture is kept bit for bit.

Used by `smallest` when a source's picture is not encoded again. What a published picture must not reveal
(where and when it was taken, by whom, with which camera, its thumbnail) goes; what its colours need stays,
and so does the EXIF orientation, alone, where it turns the picture. Each format does it by its `strip`.
"""

import struct

from imagebatch_jobrunner.decoder.formats.format import Format, Parts


class UnstrippableError(Exception):
    """The file is not built as its format says, or there is no lossless way for its format."""


def stripped(data: bytes, image_format: Format, orientation: int) -> bytes:
    """The file without metadata, never longer than before. Raises UnstrippableError."""
    parts = _parts(data, image_format, orientation)
    return b"".join(parts) if _length(parts) <= len(data) else data


def stripped_bytes(data: bytes, image_format: Format, orientation: int) -> int:
    """How long that file is, without making it. Raises UnstrippableError."""
    return min(_length(_parts(data, image_format, orientation)), len(data))


def _parts(data: bytes, image_format: Format, orientation: int) -> Parts:
    if image_format.strip is None:
        raise UnstrippableError(f"no lossless way for {image_format.name}")
    try:
        return image_format.strip(data, orientation)
    except (struct.error, IndexError, ValueError) as error:
        raise UnstrippableError(str(error)) from error


def _length(parts: Parts) -> int:
    return sum(map(len, parts))
