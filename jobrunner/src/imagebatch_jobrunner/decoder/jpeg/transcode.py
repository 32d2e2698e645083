"""JPEG to JPEG of the same size, without decoding pixels: by the requantiser. Used by `compress`.

The colours stay in their space, be it grey, YCbCr, RGB, CMYK or YCCK, at their own subsampling.
"""

from dataclasses import dataclass

from PIL import Image

from imagebatch.options import Compression
from imagebatch_jobrunner.decoder import choice, metadata, probe
from imagebatch_jobrunner.decoder.choice import Choice, Facts
from imagebatch_jobrunner.decoder.containers import jpeg_segments
from imagebatch_jobrunner.decoder.containers.jpeg_segments import APP0, APP1, MAX_CONTENT_BYTES
from imagebatch_jobrunner.decoder.encodable import Encodable
from imagebatch_jobrunner.decoder.encode import METADATA_DROPPED, Encoded
from imagebatch_jobrunner.decoder.formats import jpeg
from imagebatch_jobrunner.decoder.jpeg import calibration, requantiser
from imagebatch_jobrunner.decoder.jpeg.requantiser import NotRequantisableError, Requantising
from imagebatch_jobrunner.decoder.metadata import Metadata
from imagebatch_jobrunner.decoder.source import Source
from imagebatch_jobrunner.limits import PictureLimits

REQUANTISED = "requantised"

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_JFIF_END = 20
_MAX_SAMPLING = 4
_ANY_QUALITY = 50


def choose(source: Source, options: Compression) -> Choice | None:
    """What becomes of a JPEG that needs no pixels to be decoded; None for all others."""
    if not _fits(source) or source.target_size(options) != source.upright_size:
        return None
    facts = Facts(
        format=source.format,
        quality=source.quality,
        is_transparent=False,
        is_animated=False,
        is_resized=False,
    )
    chosen = choice.choose(facts, options)
    return chosen if chosen.format is jpeg.FORMAT else None


def _fits(source: Source) -> bool:
    return (
        source.jpeg is not None
        and requantiser.is_available()
        and all(1 <= factor <= _MAX_SAMPLING for sampling in source.jpeg.samplings for factor in sampling)
    )


def opened(
    image: Image.Image, source: Source, chosen: Choice, options: Compression, limits: PictureLimits
) -> Encodable:
    """The picture; one that is compressed already is checked for damage here, as nothing will encode it.

    Raises CodecError, NotRequantisableError.
    """
    streams = source.is_streamable and not options.progressive
    max_pixels = limits.max_streamed_pixels if streams else limits.max_pixels
    probe.check_pixels(source, max_pixels)
    beside = metadata.NONE if options.strip_metadata else metadata.upright(image)
    data = jpeg_segments.with_end(source.data) if jpeg_segments.lacks_end(source.data) else source.data
    file = _File(
        data, source.orientation, beside, max_pixels, limits.memory_bytes, progressive=options.progressive
    )
    if chosen.is_already_compressed:
        file.check()
    width, height = source.upright_size
    return Encodable(
        width=width, height=height, is_animated=False, encode=file.at_quality, without_loss=file.without_loss
    )


@dataclass(frozen=True, slots=True)
class _File:
    """A JPEG with its end, and the metadata to go with what becomes of it."""

    data: bytes
    orientation: int
    beside: Metadata
    max_pixels: int
    memory_bytes: int
    progressive: bool

    def check(self) -> None:
        requantiser.check(self.data, self._request(_ANY_QUALITY))

    def at_quality(self, quality: int | None) -> Encoded:
        assert quality is not None
        data = requantiser.requantised(self.data, self._request(quality))
        return _with(self.beside, data)

    def without_loss(self) -> Encoded | None:
        raise NotRequantisableError("its segments can't be found")

    def _request(self, quality: int) -> Requantising:
        number, rounds_up_from = calibration.of(quality)
        return Requantising(
            quality=number,
            rounds_up_from=rounds_up_from,
            orientation=self.orientation,
            max_coefficient_bytes=self.memory_bytes,
            max_pixels=self.max_pixels,
            progressive=self.progressive,
        )


def _with(beside: Metadata, data: bytes) -> Encoded:
    """The file with these blocks, where EXIF 2.3 (4.5.4) and XMP (part 3, 1.1.3) want them."""
    exif = b"Exif\0\0" + beside.exif.removeprefix(b"Exif\0\0") if beside.exif else b""
    blocks = [block for block in (exif, _XMP + beside.xmp if beside.xmp else b"") if block]
    fitting = [block for block in blocks if len(block) <= MAX_CONTENT_BYTES]
    segments = b"".join(jpeg_segments.segment(APP1, block) for block in fitting)
    notes = (REQUANTISED,) if fitting == blocks else (REQUANTISED, METADATA_DROPPED)
    at = _JFIF_END if data[2:4] == bytes((0xFF, APP0)) else 2
    return Encoded(data[:at] + segments + data[at:] if segments else data, notes)
