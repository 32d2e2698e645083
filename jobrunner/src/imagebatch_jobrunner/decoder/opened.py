"""An image whose header is read, as the openers of the formats hand it to `opening`."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

Finish = Callable[[Image.Image], Image.Image]


def unchanged(image: Image.Image) -> Image.Image:
    return image


@dataclass(frozen=True, slots=True)
class Opened:
    """An image that is not decoded yet. `finish` makes of the decoded one what its file means, where the
    decoder does not; `inner` is the file that stands inside the file, such as an icon's PNG.
    """

    image: Image.Image
    finish: Finish = unchanged
    inner: bytes = b""
