"""Lowering the quality until a file is short enough.

Used by `compress` for the option `targetBytes`.
"""

from dataclasses import dataclass, replace

from imagebatch_jobrunner.codec.encode import Encoded, Wish, encode
from imagebatch_jobrunner.codec.picture import Picture

MISSED = "target_missed"


@dataclass(frozen=True, slots=True)
class Target:
    """At most `max_bytes` (None: any length), with a quality of at least `floor`."""

    max_bytes: int | None
    floor: int

    def is_met(self, data: bytes) -> bool:
        return self.max_bytes is None or len(data) <= self.max_bytes


@dataclass(frozen=True, slots=True)
class Fitted:
    """An encoded picture and the quality it got, None for a format that knows none."""

    encoded: Encoded
    quality: int | None


def fitted(picture: Picture, wish: Wish, target: Target) -> Fitted:
    """The picture as wished, or with the highest quality below that at which it meets the target.

    What does not meet it even at the floor is told by a note. Raises CodecError `encode_failed`.
    """
    found = Fitted(encode(picture, wish), wish.quality)
    if target.is_met(found.encoded.data):
        return found
    if wish.quality is not None:
        found = _lowered(picture, wish, target, found)
    if target.is_met(found.encoded.data):
        return found
    return Fitted(replace(found.encoded, notes=(*found.encoded.notes, MISSED)), found.quality)


def _lowered(picture: Picture, wish: Wish, target: Target, longest: Fitted) -> Fitted:
    """By bisection: a file's length rises with its quality, but for a few bytes here and there."""
    best = longest
    low, high = max(target.floor, 1), (wish.quality or 1) - 1
    while low <= high:
        middle = (low + high) // 2
        tried = Fitted(encode(picture, replace(wish, quality=middle)), middle)
        if target.is_met(tried.encoded.data):
            best, low = tried, middle + 1
        else:
            if len(tried.encoded.data) < len(best.encoded.data) and not target.is_met(best.encoded.data):
                best = tried
            high = middle - 1
    return best
