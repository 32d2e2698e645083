"""What is particular to one format. Every file of this package makes a `Format`; the rest of the decoder
asks it.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from imagebatch_jobrunner.decoder import quality
from imagebatch_jobrunner.decoder.colour.spaces import ColourSpace
from imagebatch_jobrunner.decoder.formats.encoder import Encoder
from imagebatch_jobrunner.decoder.quality import SourceQuality

DECODING_BYTES = 11
"""A bound of the bytes a pixel that decoding takes (see `memory`), for formats that need no more."""

Parts = list[bytes | memoryview]
"""A file in parts, those of the file that it is made from as views where they are long."""

Size = tuple[int, int]
Finish = Callable[[Image.Image], Image.Image]


def unchanged(image: Image.Image) -> Image.Image:
    return image


@dataclass(frozen=True, slots=True)
class Opened:
    """An image whose header is read and which is not decoded yet.

    `finish` makes of the decoded image what its file means, where Pillow does not.
    """

    image: Image.Image
    finish: Finish = unchanged


def opener(plugin: Callable[[Any, str], Image.Image]) -> Callable[[bytes], Opened]:
    """Opening by Pillow's plugin for the format alone; `Image.open` would try others too."""
    return lambda data: Opened(plugin(io.BytesIO(data), ""))


def begins(*signatures: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(signatures)


def nothing_to_strip(data: bytes, _orientation: int) -> Parts:
    return [data]


def _load(image: Image.Image, _data: bytes, _reduced_to: Size | None) -> None:
    image.load()


def _plays(loop: int | None) -> int:
    return int(loop or 0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Format:
    """One format. `name`, `matches` and `open` must be given; all else has a default.

    Reading:

    - `matches`: whether a file is of the format, by its first bytes (up to 4,096 of them).
    - `open`: reads the header. Raises CodecError, and whatever Pillow does for damaged files.
    - `repaired`: a file that `open` refused, without the damaged parts that no decoder needs; the file
      itself when there are none.
    - `quality`: the quality that a file was saved with; by default nothing was lost.
    - `colour_space`: what a file says of its colours outside an ICC profile; its second argument is
      whether it has one. Raises CodecError `unsupported_format` for one that is not converted, such as
      HDR.
    - `is_deep`: whether a file has more than the 8 bits a channel that its decoder gives.
    - `has_mask`: its transparency is known only when it is decoded.
    - `can_be_animated`, and `plays`: how often an animation runs (0: for ever), by Pillow's `loop`.
    - `is_streamable`: a file may be recompressed without its pixels, and may have more of them for that.
    - `load`: decodes an opened image, at a reduced size (as stored) where one is given. Raises CodecError
      `truncated` when its decoder does not notice that.
    - `end`: where a file's own structure places its end; None when its decoder distinguishes a missing end
      from damage. Raises struct.error or IndexError when the file ends within that structure.
    - `decoding_bytes`: a bound of the memory that decoding takes, a pixel.

    Beside the picture:

    - `strip`: the file without metadata, its picture bit for bit; None when there is no lossless way. Of
      the metadata only the EXIF orientation, its second argument, is kept. Raises ValueError, IndexError or
      struct.error for a file that is not built as its format says.
    - `may_be_kept`: whether its files may be stored as they are; browsers must show them.
    - `has_gain_map`, `has_more_pictures`: what else a file may hold. The latter may raise anything for a
      damaged file.

    Writing: `encoder`, for formats that browsers show.
    """

    name: str
    matches: Callable[[bytes], object]
    open: Callable[[bytes], Opened]
    repaired: Callable[[bytes], bytes] = lambda data: data
    quality: Callable[[bytes, Image.Image], SourceQuality] = lambda _data, _image: quality.LOSSLESS
    colour_space: Callable[[bytes, bool], ColourSpace | None] = lambda _data, _has_profile: None
    is_deep: Callable[[bytes, Image.Image], bool] = lambda _data, _image: False
    has_mask: bool = False
    can_be_animated: bool = False
    plays: Callable[[int | None], int] = _plays
    is_streamable: bool = False
    load: Callable[[Image.Image, bytes, Size | None], None] = _load
    end: Callable[[bytes], int] | None = None
    decoding_bytes: int = DECODING_BYTES
    strip: Callable[[bytes, int], Parts] | None = None
    may_be_kept: bool = True
    has_gain_map: Callable[[bytes], bool] = lambda _data: False
    has_more_pictures: Callable[[bytes], bool] = lambda _data: False
    encoder: Encoder | None = None
