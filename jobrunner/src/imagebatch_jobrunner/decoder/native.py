"""The library that jobrunner/native makes in Rust. Used by `jpeg.requantiser` and `pixels`.

It is built where there is a Rust compiler. Calls let go of the interpreter's lock.
"""

import ctypes
from pathlib import Path

PATH = Path(__file__).with_name("libimagebatch.so")


def loaded(path: Path = PATH) -> ctypes.CDLL | None:
    """None where it was not built."""
    return ctypes.CDLL(str(path)) if path.exists() else None
