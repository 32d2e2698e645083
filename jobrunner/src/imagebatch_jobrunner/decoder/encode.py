"""Encoding a picture in a format: what the format can't hold is given up and noted. Used by `from_pixels`."""

import io
from dataclasses import dataclass, replace

from PIL import Image

from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.decoder import metadata
from imagebatch_jobrunner.decoder.colour import modes
from imagebatch_jobrunner.decoder.colour.modes import Coloured
from imagebatch_jobrunner.decoder.formats.encoder import EncodeOptions
from imagebatch_jobrunner.decoder.formats.format import Format
from imagebatch_jobrunner.decoder.picture import Picture
from imagebatch_jobrunner.errors import CodecError

METADATA_DROPPED = "metadata_dropped"
FIRST_FRAME = "first_frame"
FLATTENED = "flattened"

_WHITE = (255, 255, 255)
_MOST_ERROR_CHARS = 200


@dataclass(frozen=True, slots=True)
class Encoded:
    """A file, and notes of what its format could not hold."""

    data: bytes
    notes: tuple[str, ...] = ()


def encode(picture: Picture, output: Format, options: EncodeOptions) -> Encoded:
    """Raises CodecError `encode_failed`."""
    assert output.encoder is not None
    fitted, notes = _fitted(picture, output)
    try:
        return Encoded(output.encoder.encode(fitted, options), notes)
    except MemoryError:
        raise
    except Exception as error:
        if fitted.metadata != metadata.NONE:  # the usual reason: a block too long for its format
            bare = encode(replace(picture, metadata=metadata.NONE), output, options)
            return Encoded(bare.data, (*bare.notes, METADATA_DROPPED))
        text = " ".join(str(error).split()) or type(error).__name__
        message = f"{output.name}: {text[:_MOST_ERROR_CHARS]}"
        raise CodecError(ErrorCode.ENCODE_FAILED, message) from error


def is_animated(data: bytes) -> bool:
    """Whether a file of ours moves: encoders make one frame of frames that look the same."""
    with Image.open(io.BytesIO(data)) as image:
        return getattr(image, "n_frames", 1) > 1


def _fitted(picture: Picture, output: Format) -> "tuple[Picture, tuple[str, ...]]":
    """The picture as far as the format can hold it, and notes of what it can't."""
    assert output.encoder is not None
    notes: list[str] = []
    if picture.is_animated and not output.can_move:
        picture = replace(picture, frames=picture.frames[:1], durations_ms=picture.durations_ms[:1])
        notes.append(FIRST_FRAME)
    if not output.encoder.has_alpha and picture.first.mode == "RGBA":
        if modes.is_transparent(picture.first):
            notes.append(FLATTENED)
        picture = replace(picture, frames=(_on_white(picture.first),))
    if not output.encoder.has_grey and picture.first.mode == "L":
        rgb = modes.as_rgb(Coloured(picture.first, picture.profile))
        picture = replace(picture, frames=(rgb.image,), profile=rgb.profile)
    return picture, tuple(notes)


def _on_white(image: Image.Image) -> Image.Image:
    ground = Image.new("RGB", image.size, _WHITE)
    ground.paste(image, mask=image.getchannel("A"))
    return ground
