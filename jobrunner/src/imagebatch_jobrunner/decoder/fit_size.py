"""Lowering the quality until a file is short enough: the option `targetBytes`. Used by `smallest`."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from imagebatch_jobrunner.decoder.encode import Encoded

MISSED = "target_missed"

Encode = Callable[[int | None], Encoded]


@dataclass(frozen=True, slots=True)
class SizeTarget:
    """At most `max_bytes` (None: any length), with a quality of at least `floor`."""

    max_bytes: int | None
    floor: int

    def is_met(self, data: bytes) -> bool:
        return self.max_bytes is None or len(data) <= self.max_bytes


@dataclass(frozen=True, slots=True)
class Fitted:
    """An encoded picture and the quality it got, None for a format that has none."""

    encoded: Encoded
    quality: int | None


def fitted(encode: Encode, quality: int | None, target: SizeTarget) -> Fitted:
    """The picture at that quality, or with the highest below it at which it meets the target.

    A file that does not meet it even at the floor gets a note. Raises CodecError `encode_failed`.
    """
    found = Fitted(encode(quality), quality)
    if target.is_met(found.encoded.data):
        return found
    if quality is not None:
        found = _lowered(encode, quality, target, found)
    if target.is_met(found.encoded.data):
        return found
    return Fitted(replace(found.encoded, notes=(*found.encoded.notes, MISSED)), found.quality)


def _lowered(encode: Encode, quality: int, target: SizeTarget, longest: Fitted) -> Fitted:
    """By bisection, for a file's length rises with its quality but for a few bytes here and there."""
    best = longest
    low, high = max(target.floor, 1), quality - 1
    while low <= high:
        middle = (low + high) // 2
        tried = Fitted(encode(middle), middle)
        if target.is_met(tried.encoded.data):
            best, low = tried, middle + 1
        else:
            if len(tried.encoded.data) < len(best.encoded.data) and not target.is_met(best.encoded.data):
                best = tried
            high = middle - 1
    return best
