"""Which file a picture becomes: encoded anew, or its own picture where that is no longer.

Used by `compress`, whichever way a picture is encoded.
"""

from dataclasses import replace

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.decoder import dropped_content, strip
from imagebatch_jobrunner.decoder.choice import Choice
from imagebatch_jobrunner.decoder.encodable import Encodable
from imagebatch_jobrunner.decoder.encode import Encoded, is_animated
from imagebatch_jobrunner.decoder.fit_size import MISSED, SizeTarget, fitted
from imagebatch_jobrunner.decoder.formats import webp
from imagebatch_jobrunner.decoder.formats.format import Format
from imagebatch_jobrunner.decoder.source import Source
from imagebatch_jobrunner.errors import CodecError

ALREADY_COMPRESSED = "already_compressed"
KEPT_ORIGINAL = "kept_original"
METADATA_KEPT = "metadata_kept"
LOSSLESS = "lossless"
STILL = "still"


def smallest(source: Source, picture: Encodable, chosen: Choice, options: Compression) -> Compressed:
    """Raises CodecError `encode_failed`."""
    target = SizeTarget(options.target_bytes, min(options.min_quality, chosen.quality or 1))
    if chosen.is_already_compressed and target.is_met(source.data):
        return _kept(source, picture, options, ALREADY_COMPRESSED)
    try:
        found = fitted(picture.encode, chosen.quality, target)
    except CodecError as error:
        if chosen.may_keep and error.code is ErrorCode.ENCODE_FAILED:  # such as a side too long for WebP
            return _kept(source, picture, options, KEPT_ORIGINAL)
        raise
    encoded = found.encoded
    has_stopped = picture.is_animated and chosen.format.can_move and not is_animated(encoded.data)
    if chosen.may_keep and (has_stopped or len(encoded.data) >= _kept_bytes(source, options)):
        kept = _kept(source, picture, options, KEPT_ORIGINAL)
        return kept if target.is_met(kept.data) else replace(kept, notes=(*kept.notes, MISSED))
    if has_stopped:
        encoded = replace(encoded, notes=(*encoded.notes, STILL))
    return _result(source, picture, encoded, chosen.format, found.quality)


def _kept_bytes(source: Source, options: Compression) -> int:
    """How long the file would be with its own picture."""
    if not options.strip_metadata:
        return len(source.data)
    try:
        return strip.stripped_bytes(source.data, source.format, source.orientation)
    except strip.UnstrippableError:
        return len(source.data)


def _bare(source: Source, options: Compression) -> bytes:
    """The source's file, without metadata unless they were asked for. Raises UnstrippableError."""
    if not options.strip_metadata:
        return source.data
    return strip.stripped(source.data, source.format, source.orientation)


def _kept(source: Source, picture: Encodable, options: Compression, note: str) -> Compressed:
    """The source's own picture, bit for bit; without metadata unless they were asked for."""
    try:
        data = _bare(source, options)
    except strip.UnstrippableError:
        return _without_loss(source, picture)
    return _kept_result(source, picture, data, note)


def _without_loss(source: Source, picture: Encodable) -> Compressed:
    """For files whose metadata can't be cut out, such as TIFF: the same pixels in another format.

    Where even that is longer, the file stays as it is, with a note.
    """
    encoded = picture.without_loss()
    if encoded is not None and len(encoded.data) < len(source.data):
        has_stopped = picture.is_animated and not is_animated(encoded.data)
        notes = (*encoded.notes, LOSSLESS, *((STILL,) if has_stopped else ()))
        return _result(source, picture, Encoded(encoded.data, notes), webp.FORMAT)
    return _kept_result(source, picture, source.data, KEPT_ORIGINAL, METADATA_KEPT)


def _kept_result(source: Source, picture: Encodable, data: bytes, *notes: str) -> Compressed:
    """With the source's own pixels, so without notes on those; `data` may lack what was beside them."""
    bare = replace(picture, notes=())
    return _result(source, bare, Encoded(data, notes), source.format)


def _result(
    source: Source,
    picture: Encodable,
    encoded: Encoded,
    output: Format,
    quality: int | None = None,
) -> Compressed:
    dropped = dropped_content.notes(source.data, encoded.data, source.format)
    return Compressed(
        data=encoded.data,
        format=output.name,
        width=picture.width,
        height=picture.height,
        source_format=source.format.name,
        source_quality=source.quality.number,
        quality=quality,
        quality_basis=source.quality.basis,
        notes=(*picture.notes, *dropped, *encoded.notes),
    )
