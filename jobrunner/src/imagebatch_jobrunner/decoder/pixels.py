"""The crate jobrunner/native/pixels, called by its C interface. Used by `png_rows` and `resize`."""

import ctypes
from ctypes import c_char, c_char_p, c_int32, c_size_t, c_void_p
from typing import Self

from imagebatch_jobrunner.decoder import native


def _loaded() -> ctypes.CDLL | None:
    library = native.loaded()
    if library is not None:
        library.pixels_undo_filters.argtypes = (
            c_char_p, c_size_t, ctypes.POINTER(c_char), c_size_t, c_size_t, c_size_t
        )  # fmt: skip
        library.pixels_undo_filters.restype = c_int32
        library.pixels_resampler_new.argtypes = (c_size_t,) * 5
        library.pixels_resampler_new.restype = c_void_p
        library.pixels_resampler_push.argtypes = (
            c_void_p, c_char_p, c_size_t, ctypes.POINTER(c_char), c_size_t
        )  # fmt: skip
        library.pixels_resampler_push.restype = c_int32
        library.pixels_resampler_free.argtypes = (c_void_p,)
        library.pixels_resampler_free.restype = None
    return library


_LIBRARY = _loaded()


def is_available() -> bool:
    return _LIBRARY is not None


def undo_filters(filtered: bytes, rows: bytearray, row_bytes: int, pixel_bytes: int) -> bool:
    """Undo the filters of a PNG's rows: `filtered` into `rows`, whose first row is the one above them.

    False where a filter is none of PNG's, or the lengths do not fit; `rows` means nothing then.
    """
    assert _LIBRARY is not None
    room = (c_char * len(rows)).from_buffer(rows)
    return bool(
        _LIBRARY.pixels_undo_filters(filtered, len(filtered), room, len(rows), row_bytes, pixel_bytes)
    )


MAX_SIDE = 65_535
GROUP_ROWS = 16
"""A resampler is fastest with a multiple of as many."""

_LATE_ROWS = 5
"""By how many more rows than came a smaller picture can grow at once: those that wait for the last row."""


class Resampler:
    """Takes a picture's rows from top to bottom, and gives those of a smaller one, by Lanczos's filter.

    Sizes are width and height; a pixel has `channels` bytes, 1 or 4. Raises ValueError for other pixels, for
    a side below 1 or above `MAX_SIDE`, and for one that would grow. A context, at whose end it goes.
    """

    def __init__(self, size: tuple[int, int], to_size: tuple[int, int], channels: int) -> None:
        assert _LIBRARY is not None
        may_be = all(0 < to_side <= side <= MAX_SIDE for side, to_side in zip(size, to_size, strict=True))
        self._handle = _LIBRARY.pixels_resampler_new(*size, *to_size, channels) if may_be else None
        if self._handle is None:
            raise ValueError(f"{size} to {to_size} with {channels} channels")
        self._row_bytes = size[0] * channels
        self._row_bytes_out = to_size[0] * channels

    def push(self, rows: bytes) -> bytearray:
        """The next rows that are whole; may be empty. Raises ValueError for what is no whole number of rows,
        for none, and for more than are missing.
        """
        assert _LIBRARY is not None
        made = bytearray((len(rows) // self._row_bytes + _LATE_ROWS) * self._row_bytes_out)
        room = (c_char * len(made)).from_buffer(made)
        count = _LIBRARY.pixels_resampler_push(self._handle, rows, len(rows), room, len(made))
        if count < 0:
            raise ValueError(f"{len(rows)} bytes are no rows of {self._row_bytes} that are missing")
        del room  # else `made` can't be cut
        del made[count * self._row_bytes_out :]
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert _LIBRARY is not None
        _LIBRARY.pixels_resampler_free(self._handle)
        self._handle = None
