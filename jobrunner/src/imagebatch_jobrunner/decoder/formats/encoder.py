"""Writing a file of a format: what a format says of its encoder, and the call of Pillow's that all of them
share.

Encoding is deterministic: the same picture and options give the same bytes. Speeds are chosen by
measurement, 1.2 megapixels each: WebP method 2 takes 15 ms against 36 ms for method 4, for 4% more bytes;
AVIF speed 9 takes 35 ms against 392 ms for speed 6, for 20% more. `optimize` asks for the slower ones.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imagebatch.options import Compression
from imagebatch_jobrunner.decoder.picture import Picture

ENCODING_BYTES = 11
"""A bound of the bytes a pixel that encoding takes (see `memory`), for formats that need no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeOptions:
    """How to encode. `quality` is None for a format that has none.

    `subsampling` is in Pillow's numbers, None for 4:2:0; only JPEG heeds it. Only WebP heeds `lossless`.
    """

    quality: int | None
    subsampling: int | None = None
    progressive: bool = False
    optimize: bool = False
    lossless: bool = False

    @classmethod
    def of(cls, quality: int | None, subsampling: int | None, options: Compression) -> "EncodeOptions":
        return cls(
            quality=quality,
            subsampling=subsampling,
            progressive=options.progressive,
            optimize=options.optimize,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """How files of a format are written. Only formats that browsers show have one.

    `encode` may raise anything. `has_quality`: it loses something, and a quality says how much.
    `has_alpha` and `has_grey`: its files can be transparent, and have one channel. The bytes a pixel are
    bounds of the memory that encoding takes (see `memory`), for opaque pictures and for those that may be
    transparent.
    """

    encode: Callable[[Picture, EncodeOptions], bytes]
    has_quality: bool = True
    has_alpha: bool = True
    has_grey: bool = True
    opaque_bytes: int = ENCODING_BYTES
    transparent_bytes: int = ENCODING_BYTES


def save(picture: Picture, pillow_format: str, **options: Any) -> bytes:  # noqa: ANN401 - Pillow's own
    """The file, by Pillow; options that are None or empty are left out."""
    given = {name: value for name, value in options.items() if value is not None and value != b""}
    image = picture.first
    image.info = {}  # Pillow would save what the decoder left there
    buffer = io.BytesIO()
    image.save(buffer, pillow_format, icc_profile=picture.profile or None, **given)
    return buffer.getvalue()


def animation(picture: Picture) -> dict[str, Any]:
    """Pillow's options for all frames of an animation; none for a single picture."""
    if not picture.is_animated:
        return {}
    return {
        "save_all": True,
        "append_images": list(picture.frames[1:]),
        "duration": list(picture.durations_ms),
        "loop": picture.plays,
    }
