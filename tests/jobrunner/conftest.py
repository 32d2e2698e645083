"""Pictures for the tests of the jobrunner."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

CORNERS = {"red": (220, 20, 30), "green": (20, 190, 40), "blue": (30, 40, 210), "yellow": (230, 210, 30)}

Encode = Callable[..., bytes]


@pytest.fixture
def encode() -> Encode:
    """`encode(image, "JPEG", quality=90)`: the file's bytes."""

    def encoded(image: Image.Image, pillow_format: str, **options: Any) -> bytes:
        file = io.BytesIO()
        image.save(file, pillow_format, **options)
        return file.getvalue()

    return encoded


@pytest.fixture
def corners() -> Image.Image:
    """48 x 32 pixels: red, green (top), blue, yellow (bottom)."""
    image = Image.new("RGB", (48, 32))
    for number, colour in enumerate(CORNERS.values()):
        image.paste(
            colour, (24 * (number % 2), 16 * (number // 2), 24 * (number % 2 + 1), 16 * (number // 2 + 1))
        )
    return image


@pytest.fixture
def photo() -> Image.Image:
    """160 x 120 pixels with the detail of a photograph: noise over a gradient."""
    gradient = Image.linear_gradient("L").resize((160, 120))
    rng = iter(range(10**9))
    noise = Image.frombytes(
        "L", (160, 120), bytes(next(rng) * 2654435761 % 251 % 64 for _ in range(160 * 120))
    )
    return Image.merge("RGB", (gradient, Image.blend(gradient, noise, 0.4), gradient.rotate(180)))
