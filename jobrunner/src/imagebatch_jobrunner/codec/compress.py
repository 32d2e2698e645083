"""Making a picture smaller: bytes and options in, bytes and facts out. No network, no files, no state.

Called by `codec` in a process of its own, because it decodes what strangers made. Everything that may
later be done natively is behind `compress_image`.
"""

import warnings

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec import choice, encode, formats, opening, picture, strip
from imagebatch_jobrunner.codec.choice import Choice, Facts
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.codec.encode import Encoded, Wish
from imagebatch_jobrunner.codec.formats import ImageFormat
from imagebatch_jobrunner.codec.opening import Source
from imagebatch_jobrunner.codec.picture import Picture
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits

ALREADY_COMPRESSED = "already_compressed"
KEPT_ORIGINAL = "kept_original"


def compress_image(data: bytes, options: Compression, limits: PictureLimits) -> Compressed:
    """Compress one image. Raises CodecError; MemoryError passes through.

    Without a size limit or another format asked for, the result is never longer than `data`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = opening.open_source(data, limits)
        whole = picture.decode(source, options)
        chosen = choice.choose(_facts(source, whole), options)
        if chosen.is_already_compressed:
            return _kept(source, whole, options, ALREADY_COMPRESSED)
        return _smallest(source, whole, chosen, options)


def _facts(source: Source, whole: Picture) -> Facts:
    return Facts(
        format=source.format,
        quality=source.quality,
        is_transparent=whole.is_transparent,
        is_animated=whole.is_animated,
        is_resized=whole.is_resized,
    )


def _smallest(source: Source, whole: Picture, chosen: Choice, options: Compression) -> Compressed:
    try:
        encoded = _encoded(source, whole, chosen, options)
    except CodecError as error:
        if chosen.may_keep and error.code is ErrorCode.ENCODE_FAILED:  # such as a side too long for WebP
            return _kept(source, whole, options, KEPT_ORIGINAL)
        raise
    if chosen.may_keep and len(encoded.data) >= _kept_bytes(source, options):
        return _kept(source, whole, options, KEPT_ORIGINAL)
    return _result(source, whole, encoded, chosen.format, chosen.quality)


def _kept_bytes(source: Source, options: Compression) -> int:
    """How long the file would be with its own picture."""
    try:
        return len(_bare(source, options))
    except strip.UnstrippableError:
        return len(source.data)


def _bare(source: Source, options: Compression) -> bytes:
    """The source's file, without metadata unless they were asked for. Raises UnstrippableError."""
    if not options.strip_metadata:
        return source.data
    return strip.stripped(source.data, source.format.name, source.orientation)


def _encoded(source: Source, whole: Picture, chosen: Choice, options: Compression) -> Encoded:
    wish = Wish.of(chosen.format.name, chosen.quality, source.subsampling, options)
    return encode.encode(whole, wish)


def _kept(source: Source, whole: Picture, options: Compression, note: str) -> Compressed:
    """The source's own picture, bit for bit; without metadata unless they were asked for."""
    try:
        data = _bare(source, options)
    except strip.UnstrippableError:
        return _without_loss(source, whole, options)
    return _result(source, whole, Encoded(data, (note,)), source.format)


def _without_loss(source: Source, whole: Picture, options: Compression) -> Compressed:
    """For files whose metadata can't be cut out, such as TIFF: the same pixels in another format.

    Where even that is longer, the file stays as it is and a note says so.
    """
    wish = Wish(format="webp", quality=100, lossless=True, optimize=options.optimize)
    encoded = _attempt(whole, wish)
    if encoded is not None and len(encoded.data) < len(source.data):
        return _result(source, whole, Encoded(encoded.data, (*encoded.notes, "lossless")), formats.WEBP)
    return _result(source, whole, Encoded(source.data, (KEPT_ORIGINAL, "metadata_kept")), source.format)


def _attempt(whole: Picture, wish: Wish) -> Encoded | None:
    try:
        return encode.encode(whole, wish)
    except CodecError:
        return None


def _result(
    source: Source, whole: Picture, encoded: Encoded, image_format: ImageFormat, quality: int | None = None
) -> Compressed:
    return Compressed(
        data=encoded.data,
        format=image_format.name,
        width=whole.width,
        height=whole.height,
        source_format=source.format.name,
        source_quality=source.quality.number,
        quality=quality,
        quality_basis=source.quality.basis,
        notes=_notes(source, whole, encoded),
    )


def _notes(source: Source, whole: Picture, encoded: Encoded) -> tuple[str, ...]:
    """What happened to the pixels is only worth a note when they were encoded again."""
    return encoded.notes if encoded.data is source.data else (*whole.notes, *encoded.notes)
