"""The requantiser in jobrunner/native/requantiser, called by its C interface: a JPEG at a lower quality
without its pixels. Used by `transcode`.

It is built where there is a Rust compiler; `is_available` says whether it is here.
"""

import ctypes
from ctypes import c_char_p, c_int32, c_size_t, c_uint8, c_uint16, c_uint64, c_void_p
from dataclasses import dataclass
from pathlib import Path

from imagebatch_jobrunner.decoder import native
from imagebatch_jobrunner.decoder.errors import corrupt, truncated

VERSION = "0.1.0"

_TRUNCATED, _DAMAGED = 1, 2


class NotRequantisableError(Exception):
    """The file is of a kind that the requantiser does not deal with, or would take too much memory;
    Pillow may still decode it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requantising:
    """What to make of a file. `quality` is on libjpeg's scale, to a tenth, for tables like its own
    (`WEIGHTS` in tables.rs); AC coefficients are rounded up from the fraction `rounds_up_from` / 1000 on.
    `orientation` is EXIF's: the picture is turned by it.
    """

    quality: float
    rounds_up_from: int
    orientation: int
    max_coefficient_bytes: int
    max_pixels: int
    progressive: bool = False


class _Request(ctypes.Structure):
    _fields_ = (
        ("max_coefficient_bytes", c_uint64),
        ("max_pixels", c_uint64),
        ("rounds_up_from", c_uint16),
        ("quality_tenths", c_uint16),
        ("orientation", c_uint8),
        ("progressive", c_uint8),
    )


class _Answer(ctypes.Structure):
    _fields_ = (
        ("data", c_void_p),
        ("length", c_size_t),
        ("message", c_void_p),
        ("message_length", c_size_t),
        ("code", c_int32),
    )


def _loaded(path: Path = native.PATH) -> ctypes.CDLL | None:
    library = native.loaded(path)
    if library is None:
        return None
    for call in (library.requantiser_requantise, library.requantiser_check):
        call.argtypes = (c_char_p, c_size_t, ctypes.POINTER(_Request))
        call.restype = _Answer
    library.requantiser_free.argtypes = (c_void_p, c_size_t)
    library.requantiser_free.restype = None
    return library


_LIBRARY = _loaded()


def is_available() -> bool:
    return _LIBRARY is not None


def about() -> str:
    """Which codec makes a JPEG of a JPEG, for people."""
    return f"requantiser {VERSION}" if is_available() else "Pillow (built without rustc)"


def requantised(data: bytes, request: Requantising) -> bytes:
    """The file at another quality, without metadata but for its colour profile. No step becomes finer than
    it was.

    Raises CodecError `truncated` or `corrupt`, NotRequantisableError.
    """
    assert _LIBRARY is not None
    answer = _LIBRARY.requantiser_requantise(data, len(data), _packed(request))
    _check(answer)
    try:
        return ctypes.string_at(answer.data, answer.length)
    finally:
        _LIBRARY.requantiser_free(answer.data, answer.length)


def check(data: bytes, request: Requantising) -> None:
    """Raise what `requantised` raises, without making a file."""
    assert _LIBRARY is not None
    _check(_LIBRARY.requantiser_check(data, len(data), _packed(request)))


def _packed(request: Requantising) -> "ctypes._Pointer[_Request]":
    return ctypes.pointer(
        _Request(
            request.max_coefficient_bytes,
            request.max_pixels,
            request.rounds_up_from,
            round(request.quality * 10),
            request.orientation,
            request.progressive,
        )
    )


def _check(answer: _Answer) -> None:
    if answer.code == 0:
        return
    if answer.code == _TRUNCATED:
        raise truncated()
    message = ctypes.string_at(answer.message, answer.message_length).decode()
    if answer.code == _DAMAGED:
        found = corrupt()
        found.cause = message
        raise found
    raise NotRequantisableError(message)
