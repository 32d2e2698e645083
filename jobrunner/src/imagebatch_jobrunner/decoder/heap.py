"""The heap of a codec process: given back to the kernel after a large picture.

Between small ones it is kept, by the environment that `codec.command` sets.
"""

import ctypes

_LARGE_BYTES = 64 << 20
"""A shop's photograph of 1.5 megapixels asks for as much. What a process keeps is less than half of it."""


def give_back_after(needed_bytes: int) -> None:
    """Return to the kernel what a picture took, where it had asked for a lot of memory."""
    if needed_bytes > _LARGE_BYTES and _TRIM is not None:
        _TRIM(0)


_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)
