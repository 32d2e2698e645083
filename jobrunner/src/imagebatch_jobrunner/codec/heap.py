"""The heap of a codec process: kept from picture to picture, and given back after a large one.

glibc by itself hands the memory of each picture back to the kernel and takes it again page by page for the
next one: 1,500 page faults a picture of 1.2 megapixels, a third of its cost. Used by `pool` and by the codec
process.
"""

import ctypes
from collections.abc import Mapping

_ALL_FROM_THE_HEAP = str(256 << 20)
ENVIRONMENT: Mapping[str, str] = {
    "MALLOC_MMAP_THRESHOLD_": _ALL_FROM_THE_HEAP,
    "MALLOC_TRIM_THRESHOLD_": _ALL_FROM_THE_HEAP,
}
"""What glibc reads when a process starts (mallopt(3))."""

_LARGE_BYTES = 64 << 20
"""A shop's photograph of 1.5 megapixels asks for as much. What a process keeps is less than half of it."""


def after(needed_bytes: int) -> None:
    """Give back what a picture took that had asked for so much memory, where that is a lot."""
    if needed_bytes > _LARGE_BYTES and _TRIM is not None:
        _TRIM(0)


_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)
