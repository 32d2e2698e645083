"""The picture inside an image: decoded, upright, in plain colours, no larger than wished.

Used by `compress`, between opening and encoding.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

from PIL import Image

from imagebatch.options import Compression
from imagebatch_jobrunner.codec import formats
from imagebatch_jobrunner.decoder import metadata
from imagebatch_jobrunner.decoder.colour import modes
from imagebatch_jobrunner.decoder.errors import decoding, truncated
from imagebatch_jobrunner.decoder.jpeg import completeness
from imagebatch_jobrunner.decoder.metadata import Metadata
from imagebatch_jobrunner.decoder.probe import Source

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = 5
_TOO_SHORT_MS, _INSTEAD_MS = 10, 100
_DRAFT_MARGIN = 1.5
"""A JPEG is decoded at half, quarter or eighth size only if that leaves half as many again to resample."""


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


def decode(image: Image.Image, source: Source, options: Compression) -> Picture:
    """Decode all of it. Raises CodecError; a picture that is not whole is never returned.

    The picture shares nothing with `image`.
    """
    width, height = target_size(source, options)
    is_resized = (width, height) != upright_size(source)
    kept = metadata.NONE if options.strip_metadata else metadata.upright(image)
    read = _animation if source.is_animated else _still
    picture = read(image, source, (width, height))
    return replace(picture, metadata=kept, is_resized=is_resized)


def upright_size(source: Source) -> tuple[int, int]:
    """Width and height after the rotation that the EXIF orientation asks for."""
    if source.orientation >= _SIDEWAYS:
        return source.height, source.width
    return source.width, source.height


def target_size(source: Source, options: Compression) -> tuple[int, int]:
    """The upright size within the options' bounds, in proportion; never larger, never below one pixel."""
    width, height = upright_size(source)
    scale = min(1.0, (options.max_width or width) / width, (options.max_height or height) / height)
    if scale == 1.0:
        return width, height
    return max(1, round(width * scale)), max(1, round(height * scale))


def _still(image: Image.Image, source: Source, size: tuple[int, int]) -> Picture:
    with decoding(source.data, source.format):
        if source.format == formats.JPEG and size != upright_size(source):
            _draft(image, source, size)
        image.load()
        if source.format == formats.JPEG and not completeness.is_whole(source.data, image):
            raise truncated()
        coloured = modes.normalised(source.finish(image), source.space)
    shaped = _shaped(coloured.image, source.orientation, size)
    own = image.copy() if shaped is image else shaped
    image.close()  # its pixels would double the memory that encoding takes
    return Picture(frames=(own,), profile=coloured.profile, notes=_depth(source, coloured.notes))


def _depth(source: Source, notes: tuple[str, ...]) -> tuple[str, ...]:
    if source.is_deep and modes.DEPTH_REDUCED not in notes:
        return (*notes, modes.DEPTH_REDUCED)
    return notes


def _draft(image: Image.Image, source: Source, size: tuple[int, int]) -> None:
    """Let the JPEG decoder scale by 2, 4 or 8 while it decodes, which is both quicker and as good."""
    width, height = size if source.orientation < _SIDEWAYS else (size[1], size[0])
    image.draft(None, (round(width * _DRAFT_MARGIN), round(height * _DRAFT_MARGIN)))


def _animation(image: Image.Image, source: Source, size: tuple[int, int]) -> Picture:
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
        plays=_plays(image, source),
        notes=_depth(source, notes),
    )


def _shown_ms(duration_ms: float) -> float:
    """How long browsers show a frame: one that asks for next to no time gets a tenth of a second."""
    return duration_ms if duration_ms > _TOO_SHORT_MS else _INSTEAD_MS


def _own(frame: Image.Image, image: Image.Image, source: Source) -> Image.Image:
    """The frame itself, where the decoder's image will hold the next one soon; cut to the first one's size,
    for a GIF's frames may reach beyond its screen.
    """
    if frame.size != (source.width, source.height):
        return frame.crop((0, 0, source.width, source.height))
    return frame.copy() if frame is image else frame


def _whole(ends_ms: list[float]) -> tuple[int, ...]:
    """Whole durations whose sum is the rounded sum of the given ones."""
    rounded = [round(end) for end in ends_ms]
    return tuple(end - start for start, end in pairwise(rounded))


def _plays(image: Image.Image, source: Source) -> int:
    """GIF counts repetitions after the first play (and plays once without a count), the others plays."""
    loop = image.info.get("loop")
    if source.format != formats.GIF:
        return int(loop or 0)
    if loop is None:
        return 1
    return int(loop) + 1 if loop else 0


def _of_one_mode(frames: list[Image.Image]) -> tuple[Image.Image, ...]:
    mode = "RGBA" if any(frame.mode == "RGBA" for frame in frames) else "RGB"
    return tuple(frame if frame.mode == mode else frame.convert(mode) for frame in frames)


def _shaped(image: Image.Image, orientation: int, size: tuple[int, int]) -> Image.Image:
    turned = image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
    return turned if turned.size == size else turned.resize(size, Image.Resampling.LANCZOS)
