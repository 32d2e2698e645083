"""The way of most pictures: all of their pixels are decoded, and encoded again. Used by `compress`."""

from dataclasses import replace

from PIL import Image

from imagebatch.options import Compression
from imagebatch_jobrunner.decoder import choice, memory
from imagebatch_jobrunner.decoder.choice import Choice, Facts
from imagebatch_jobrunner.decoder.decode import decode
from imagebatch_jobrunner.decoder.encodable import Encodable
from imagebatch_jobrunner.decoder.encode import Encoded, encode
from imagebatch_jobrunner.decoder.formats import webp
from imagebatch_jobrunner.decoder.formats.encoder import EncodeOptions
from imagebatch_jobrunner.decoder.formats.format import Format
from imagebatch_jobrunner.decoder.picture import Picture
from imagebatch_jobrunner.decoder.source import Source
from imagebatch_jobrunner.errors import CodecError


def decoded(image: Image.Image, source: Source, options: Compression) -> tuple[Encodable, Choice]:
    """The picture, and what it is to become. Raises CodecError."""
    picture = decode(image, source, options)
    chosen = choice.choose(_facts(source, picture), options)
    subsampling = source.jpeg.subsampling if source.jpeg else None
    encode_options = EncodeOptions.of(chosen.quality, subsampling, options)
    return _encodable(picture, chosen.format, encode_options), chosen


def _facts(source: Source, picture: Picture) -> Facts:
    return Facts(
        format=source.format,
        quality=source.quality,
        is_transparent=picture.is_transparent,
        is_animated=picture.is_animated,
        is_resized=picture.is_resized,
    )


def _encodable(picture: Picture, output: Format, options: EncodeOptions) -> Encodable:
    return Encodable(
        width=picture.width,
        height=picture.height,
        is_animated=picture.is_animated,
        notes=picture.notes,
        encode=lambda quality: encode(picture, output, replace(options, quality=quality)),
        without_loss=lambda: _without_loss(picture, optimize=options.optimize),
    )


def _without_loss(picture: Picture, *, optimize: bool) -> Encoded | None:
    if picture.width * picture.height * len(picture.frames) > memory.LOSSLESS_MAX_PIXELS:
        return None
    try:
        return encode(picture, webp.FORMAT, EncodeOptions(quality=100, lossless=True, optimize=optimize))
    except CodecError:
        return None
