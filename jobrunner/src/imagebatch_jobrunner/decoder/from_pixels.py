"""The way of most pictures: all of their pixels are decoded, and encoded again. Used by `compress`."""

from dataclasses import replace

from PIL import Image

from imagebatch.options import Compression
from imagebatch_jobrunner.decoder import choice, encode, memory, picture
from imagebatch_jobrunner.decoder.choice import Choice, Facts
from imagebatch_jobrunner.decoder.encodable import Encodable
from imagebatch_jobrunner.decoder.encode import Encoded, Wish
from imagebatch_jobrunner.decoder.picture import Picture
from imagebatch_jobrunner.decoder.probe import Source
from imagebatch_jobrunner.errors import CodecError


def decoded(image: Image.Image, source: Source, options: Compression) -> tuple[Encodable, Choice]:
    """The picture, and what it is to become. Raises CodecError."""
    whole = picture.decode(image, source, options)
    chosen = choice.choose(_facts(source, whole), options)
    wish = Wish.of(chosen.format.name, chosen.quality, source.subsampling, options)
    return _encodable(whole, wish, options), chosen


def _facts(source: Source, whole: Picture) -> Facts:
    return Facts(
        format=source.format,
        quality=source.quality,
        is_transparent=whole.is_transparent,
        is_animated=whole.is_animated,
        is_resized=whole.is_resized,
    )


def _encodable(whole: Picture, wish: Wish, options: Compression) -> Encodable:
    return Encodable(
        width=whole.width,
        height=whole.height,
        is_animated=whole.is_animated,
        notes=whole.notes,
        encode=lambda quality: encode.encode(whole, replace(wish, quality=quality)),
        without_loss=lambda: _without_loss(whole, options),
    )


def _without_loss(whole: Picture, options: Compression) -> Encoded | None:
    if whole.width * whole.height * len(whole.frames) > memory.LOSSLESS_MAX_PIXELS:
        return None
    try:
        return encode.encode(
            whole, Wish(format="webp", quality=100, lossless=True, optimize=options.optimize)
        )
    except CodecError:
        return None
