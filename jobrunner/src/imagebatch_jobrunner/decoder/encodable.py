"""A picture that can be encoded at any quality, by its pixels or by a JPEG's coefficients."""

from collections.abc import Callable
from dataclasses import dataclass

from imagebatch_jobrunner.decoder.encode import Encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Encodable:
    """Made by `from_pixels` and `jpeg.transcode`. Sizes are in pixels, as shown.

    `encode` takes the quality, None for a format that has none, and raises CodecError `encode_failed`.
    `without_loss` makes lossless WebP of the same pixels; None when that fails or would take too much
    memory.
    """

    width: int
    height: int
    is_animated: bool
    encode: Callable[[int | None], Encoded]
    without_loss: Callable[[], Encoded | None]
    notes: tuple[str, ...] = ()
