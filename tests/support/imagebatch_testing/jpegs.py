"""What a JPEG that keeps its size becomes, which the installation decides: it has a requantiser or has none."""

import io

from PIL import Image

from imagebatch_jobrunner.codec import calibration, requantiser

HAS_REQUANTISER = requantiser.is_available()
NOTES = ("requantised",) if HAS_REQUANTISER else ()
"""Of a JPEG made of one."""


def number_in_tables(quality: int) -> int:
    """Which quality other programs read out of a file of that quality."""
    return calibration.of(quality)[0] if HAS_REQUANTISER else quality


def opened(data: bytes) -> Image.Image:
    """The decoded image."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image
