"""What a look at an object leaves for the next one: the object, and when to look again. Pure."""

from dataclasses import dataclass

from imagebatch.custom_resource import ImageBatch


@dataclass(frozen=True, slots=True)
class Look:
    """The object after what was written to it; `due_s` is None when only a change matters."""

    batch: ImageBatch
    due_s: float | None = None


def earliest(*due: float | None) -> float | None:
    """The first of these times; None for never."""
    return min((seconds for seconds in due if seconds is not None), default=None)
