"""What Pillow keeps in globals of its modules: set for one piece of work, and set back after it, whatever
happens.

A process works on one image at a time, so nobody else sees them. Used by `compress`, `probe` and
the formats.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from PIL import AvifImagePlugin, Image, ImageFile, TiffImagePlugin


@contextmanager
def decoding_up_to(max_pixels: int) -> Iterator[None]:
    """Pillow refuses larger pictures, which some decoders allocate while they open them; and warns of
    nothing.

    AVIF is decoded by one thread: one codec process a core is the parallelism.
    """
    with (
        warnings.catch_warnings(),
        _set(Image, "MAX_IMAGE_PIXELS", (max_pixels + 1) // 2),  # it refuses at twice this number
        _set(AvifImagePlugin, "DEFAULT_MAX_THREADS", 1),
    ):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def block_of(size: int) -> Iterator[None]:
    """Files of up to that many bytes can be encoded in one piece."""
    with _set(ImageFile, "MAXBLOCK", max(ImageFile.MAXBLOCK, size)):
        yield


@contextmanager
def raw_tiff_through_libtiff(*, wanted: bool) -> Iterator[None]:
    """Uncompressed TIFFs are decoded by libtiff in place of Pillow's own reader."""
    with _set(TiffImagePlugin, "READ_LIBTIFF", wanted):
        yield


@contextmanager
def _set(module: ModuleType, name: str, value: object) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)
