"""A file whose header is read: what it says, as plain values. Made by `probe`."""

from dataclasses import dataclass

from imagebatch.options import Compression
from imagebatch_jobrunner.decoder.colour.spaces import ColourSpace
from imagebatch_jobrunner.decoder.formats.format import Finish, Format, Size
from imagebatch_jobrunner.decoder.jpeg.header import JpegHeader
from imagebatch_jobrunner.decoder.quality import SourceQuality

FIRST_SIDEWAYS = 5
"""The EXIF orientations from this one on swap width and height."""


@dataclass(frozen=True, slots=True)
class Source:
    """What a file's header says. `width` and `height` are as stored, before any rotation.

    `space` is what the file says of its colours outside an ICC profile; `finish` is for the decoded image;
    `jpeg` is None for other formats.
    """

    data: bytes
    format: Format
    quality: SourceQuality
    width: int
    height: int
    frames: int
    orientation: int
    is_deep: bool
    may_be_transparent: bool
    space: ColourSpace | None
    finish: Finish
    jpeg: JpegHeader | None

    @property
    def is_animated(self) -> bool:
        return self.frames > 1

    @property
    def is_streamable(self) -> bool:
        """Whether it is a JPEG that can be requantised block by block."""
        return self.jpeg is not None and not self.jpeg.is_progressive and self.orientation == 1

    @property
    def upright_size(self) -> Size:
        """Width and height after the rotation that the EXIF orientation asks for."""
        if self.orientation >= FIRST_SIDEWAYS:
            return self.height, self.width
        return self.width, self.height

    def target_size(self, options: Compression) -> Size:
        """The upright size within the options' bounds, in proportion; never larger, never below one pixel."""
        width, height = self.upright_size
        scale = min(1.0, (options.max_width or width) / width, (options.max_height or height) / height)
        if scale == 1.0:
            return width, height
        return max(1, round(width * scale)), max(1, round(height * scale))
