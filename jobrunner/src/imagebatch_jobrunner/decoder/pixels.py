"""The crate jobrunner/native/pixels, called by its C interface. Used by `png_rows`."""

import ctypes
from ctypes import c_char, c_char_p, c_int32, c_size_t

from imagebatch_jobrunner.decoder import native


def _loaded() -> ctypes.CDLL | None:
    library = native.loaded()
    if library is not None:
        library.pixels_undo_filters.argtypes = (
            c_char_p, c_size_t, ctypes.POINTER(c_char), c_size_t, c_size_t, c_size_t
        )  # fmt: skip
        library.pixels_undo_filters.restype = c_int32
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
