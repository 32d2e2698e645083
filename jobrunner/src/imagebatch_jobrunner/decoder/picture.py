"""A decoded picture, upright and in plain colours. Made by `decode`, written by `encode`."""

from dataclasses import dataclass

from PIL import Image

from imagebatch_jobrunner.decoder import metadata
from imagebatch_jobrunner.decoder.colour import modes
from imagebatch_jobrunner.decoder.metadata import Metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is to be encoded: frames in mode L, RGB or RGBA, all of one mode and size.

    `durations_ms` has one entry a frame, `plays` counts how often the animation runs (0: for ever); both
    mean nothing for a single frame. `is_resized` says that a size limit made it smaller.
    """

    frames: tuple[Image.Image, ...]
    profile: bytes = b""
    durations_ms: tuple[int, ...] = (0,)
    plays: int = 0
    metadata: Metadata = metadata.NONE
    is_resized: bool = False
    notes: tuple[str, ...] = ()

    @property
    def is_animated(self) -> bool:
        return len(self.frames) > 1

    @property
    def is_transparent(self) -> bool:
        return any(modes.is_transparent(frame) for frame in self.frames)

    @property
    def width(self) -> int:
        return self.first.width

    @property
    def height(self) -> int:
        return self.first.height

    @property
    def first(self) -> Image.Image:
        return self.frames[0]
