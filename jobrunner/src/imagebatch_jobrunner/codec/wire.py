"""The messages between the jobrunner and its codec processes, over a socket.

A picture takes one frame there and one back. It comes with a grant of as much memory as was free at once; a
codec process that needs more for it asks, and waits. Options and limits go with a process's first picture.

A frame is two big-endian lengths (4 bytes for the header, 8 for the body), a header of JSON and a body of
bytes. No pickle: a codec process decodes hostile bytes, so its parent believes nothing it has not checked.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode, QualityBasis
from imagebatch_jobrunner import formats
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits

LENGTHS = struct.Struct(">IQ")
MAX_HEADER_BYTES = 64 * 1024
MAX_BODY_BYTES = 512 * 1024 * 1024

READY = {"ready": True}
GO = {"go": True}
"""The parent's answer to `need`."""

_MAX_MESSAGE_CHARS = 500
_MAX_NOTES = 16
_MAX_QUALITY = 100
_MAX_SIDE = 1 << 31
_MAX_NEED = 1 << 40


@dataclass(frozen=True, slots=True)
class Terms:
    """How pictures are compressed, and within which limits."""

    options: Compression
    limits: PictureLimits


class WireError(Exception):
    """What arrived is not what the other side should send."""


def frame_head(header: Mapping[str, Any], body_bytes: int) -> bytes:
    """All of a frame but its body."""
    text = json.dumps(header, separators=(",", ":")).encode()
    return LENGTHS.pack(len(text), body_bytes) + text


def lengths(prefix: bytes | bytearray) -> "tuple[int, int]":
    """The lengths of header and body. Raises WireError when they can't be."""
    header_bytes, body_bytes = LENGTHS.unpack(prefix)
    if header_bytes > MAX_HEADER_BYTES or body_bytes > MAX_BODY_BYTES:
        raise WireError("a frame is too long")
    return header_bytes, body_bytes


def header(text: bytes | bytearray) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise WireError("a header is not JSON") from error
    if not isinstance(found, dict):
        raise WireError("a header is not an object")
    return found


def request(granted_bytes: int, terms: Terms | None = None) -> dict[str, Any]:
    """The header of a picture that may take `granted_bytes` of memory. `terms` are sent when they are new."""
    if terms is None:
        return {"granted_bytes": granted_bytes}
    spec = {"options": terms.options.as_spec(), "limits": asdict(terms.limits)}
    return {"granted_bytes": granted_bytes, "terms": spec}


def read_terms(found: Mapping[str, Any]) -> Terms | None:
    """The terms in a request; None when those of the last one hold."""
    spec = found.get("terms")
    return spec and Terms(Compression.parse(spec["options"]), PictureLimits(**spec["limits"]))


def need(needed_bytes: int) -> dict[str, Any]:
    """The header of a codec process that is about to decode and was granted less; it waits for `GO`."""
    return {"needed_bytes": needed_bytes}


def read_need(found: Mapping[str, Any]) -> int | None:
    """The bytes of memory that a header asks for; None when it is an answer. Raises WireError."""
    if "needed_bytes" not in found:
        return None
    try:
        return _integer(found["needed_bytes"], _MAX_NEED)
    except ValueError as error:
        raise WireError(f"a need is not well formed: {error}") from error


def success(compressed: Compressed) -> dict[str, Any]:
    """The header of an answer; `compressed.data` is its body."""
    facts = {name: getattr(compressed, name) for name in _FACTS}
    return {**facts, "notes": list(compressed.notes)}


def failure(error: CodecError) -> dict[str, Any]:
    """The header of an answer without a picture."""
    return {
        "error": error.code.value,
        "message": error.message[:_MAX_MESSAGE_CHARS],
        "cause": error.cause[:_MAX_MESSAGE_CHARS],
    }


def read_answer(found: Mapping[str, Any], data: bytes) -> Compressed:
    """The picture. Raises the CodecError that was answered, or WireError for an answer that can't be true."""
    if "error" in found:
        raise _error(found)
    try:
        return _checked(found, data)
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"an answer is not well formed: {error}") from error


def _error(found: Mapping[str, Any]) -> Exception:
    try:
        error = CodecError(ErrorCode(found["error"]), _text(found["message"], _MAX_MESSAGE_CHARS))
        error.cause = _text(found.get("cause", ""), _MAX_MESSAGE_CHARS)
    except (KeyError, TypeError, ValueError) as malformed:
        return WireError(f"an answer is not well formed: {malformed}")
    return error


_BASES: tuple[QualityBasis, ...] = get_args(QualityBasis)

_FACTS = ("format", "width", "height", "source_format", "source_quality", "quality", "quality_basis")


def _checked(found: Mapping[str, Any], data: bytes) -> Compressed:
    if not data:
        raise ValueError("it has no bytes")
    quality = found["quality"]
    return Compressed(
        data=data,
        format=formats.BY_NAME[found["format"]].name,
        width=_integer(found["width"], _MAX_SIDE),
        height=_integer(found["height"], _MAX_SIDE),
        source_format=formats.BY_NAME[found["source_format"]].name,
        source_quality=_integer(found["source_quality"], _MAX_QUALITY),
        quality=None if quality is None else _integer(quality, _MAX_QUALITY),
        quality_basis=_basis(found["quality_basis"]),
        notes=tuple(_note(note) for note in found["notes"][:_MAX_NOTES]),
    )


def _integer(value: object, highest: int) -> int:
    if type(value) is not int or not 1 <= value <= highest:
        raise ValueError(f"{value!r:.40} is not a number up to {highest}")
    return value


def _text(value: object, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest:
        raise ValueError("a text is too long")
    if value.isprintable():
        return value
    return "".join(character if character.isprintable() else " " for character in value)


def _note(value: object) -> str:
    text = _text(value, 40)
    if not text.isidentifier():
        raise ValueError("a note is not a word")
    return text


def _basis(value: object) -> QualityBasis:
    for basis in _BASES:
        if value == basis:
            return basis
    raise ValueError("the basis is unknown")
