"""From an opened file to its picture: decoded, upright, in plain colours, within the size limits.

Used by `from_pixels`, between `probe` and `encode`.
"""

from dataclasses import replace
from itertools import pairwise

from PIL import Image

from imagebatch.options import Compression
from imagebatch_jobrunner.decoder import metadata
from imagebatch_jobrunner.decoder.colour import modes
from imagebatch_jobrunner.decoder.formats.format import Size
from imagebatch_jobrunner.decoder.picture import Picture
from imagebatch_jobrunner.decoder.pillow_errors import decoding
from imagebatch_jobrunner.decoder.resize import resized
from imagebatch_jobrunner.decoder.source import FIRST_SIDEWAYS, Source

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture upright, by EXIF orientation (EXIF 2.3, 4.6.4)."""

_TOO_SHORT_MS, _INSTEAD_MS = 10, 100
"""Browsers show a frame that asks for at most the first for as long as the second."""


def decode(image: Image.Image, source: Source, options: Compression) -> Picture:
    """Decode all of it. Raises CodecError; a picture that is not whole is never returned.

    The picture shares nothing with `image`.
    """
    size = source.target_size(options)
    kept = metadata.NONE if options.strip_metadata else metadata.upright(image)
    read = _animation if source.is_animated else _still
    picture = read(image, source, size)
    return replace(picture, metadata=kept, is_resized=size != source.upright_size)


def _still(image: Image.Image, source: Source, size: Size) -> Picture:
    with decoding(source.data, source.format):
        source.format.load(image, source.data, _as_stored(source, size))
        coloured = modes.normalised(source.finish(image), source.space)
    shaped = _shaped(coloured.image, source.orientation, size)
    own = image.copy() if shaped is image else shaped
    image.close()  # its pixels would double the memory that encoding takes
    return Picture(frames=(own,), profile=coloured.profile, notes=_depth(source, coloured.notes))


def _as_stored(source: Source, size: Size) -> Size | None:
    """The size to decode at, before any rotation; None for a picture that keeps its own."""
    if size == source.upright_size:
        return None
    return size if source.orientation < FIRST_SIDEWAYS else size[::-1]


def _depth(source: Source, notes: tuple[str, ...]) -> tuple[str, ...]:
    if source.is_deep and modes.DEPTH_REDUCED not in notes:
        return (*notes, modes.DEPTH_REDUCED)
    return notes


def _animation(image: Image.Image, source: Source, size: Size) -> Picture:
    frames: list[Image.Image] = []
    ends_ms: list[float] = [0.0]
    profile, notes = b"", tuple[str, ...]()
    first = 1 if getattr(image, "default_image", False) else 0
    with decoding(source.data, source.format):
        for number in range(first, source.frames):
            image.seek(number)
            image.load()
            coloured = modes.normalised(image, source.space)
            notes = coloured.notes or notes
            profile = profile or coloured.profile
            frames.append(_shaped(_own(coloured.image, image, source), source.orientation, size))
            ends_ms.append(ends_ms[-1] + _shown_ms(float(image.info.get("duration") or 0)))
    return Picture(
        frames=_of_one_mode(frames),
        profile=profile if frames[0].mode != "L" else b"",
        durations_ms=_whole(ends_ms),
        plays=source.format.plays(image.info.get("loop")),
        notes=_depth(source, notes),
    )


def _shown_ms(duration_ms: float) -> float:
    """How long browsers show a frame: one that asks for next to no time gets a tenth of a second."""
    return duration_ms if duration_ms > _TOO_SHORT_MS else _INSTEAD_MS


def _own(frame: Image.Image, image: Image.Image, source: Source) -> Image.Image:
    """The frame as an image of its own, for the decoder's will hold the next one soon; cut to the first
    one's size, for a GIF's frames may reach beyond its screen.
    """
    if frame.size != (source.width, source.height):
        return frame.crop((0, 0, source.width, source.height))
    return frame.copy() if frame is image else frame


def _whole(ends_ms: list[float]) -> tuple[int, ...]:
    """Whole durations whose sum is the rounded sum of the given ones."""
    rounded = [round(end) for end in ends_ms]
    return tuple(end - start for start, end in pairwise(rounded))


def _of_one_mode(frames: list[Image.Image]) -> tuple[Image.Image, ...]:
    mode = "RGBA" if any(frame.mode == "RGBA" for frame in frames) else "RGB"
    return tuple(frame if frame.mode == mode else frame.convert(mode) for frame in frames)


def _shaped(image: Image.Image, orientation: int, size: Size) -> Image.Image:
    turned = image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
    return resized(turned, size)
