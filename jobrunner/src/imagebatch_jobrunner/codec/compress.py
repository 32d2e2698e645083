"""Making a picture smaller: bytes and options in, bytes and facts out. No network, no files, no state.

Called by `codec` in a process of its own, because it decodes what strangers made. Everything that may
later be done natively is behind `compress_image`.
"""

from collections.abc import Callable
from dataclasses import replace

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec import (
    choice,
    encode,
    extras,
    formats,
    memory,
    opening,
    picture,
    pillow_state,
    strip,
)
from imagebatch_jobrunner.codec.choice import Choice, Facts
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.codec.encode import Encoded, Wish, is_animated
from imagebatch_jobrunner.codec.formats import ImageFormat
from imagebatch_jobrunner.codec.opening import Source
from imagebatch_jobrunner.codec.picture import Picture
from imagebatch_jobrunner.codec.target import MISSED, Target, fitted
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits

Admit = Callable[[int], None]

ALREADY_COMPRESSED = "already_compressed"
KEPT_ORIGINAL = "kept_original"
STILL = "still"


def compress_image(
    data: bytes, options: Compression, limits: PictureLimits, admit: Admit = lambda _: None
) -> Compressed:
    """Compress one image. Raises CodecError; MemoryError passes through.

    Without a size limit or another format asked for, the result is never longer than `data`. `admit` is
    called before anything is decoded with the bytes of memory that it will take at most, and may wait.
    """
    with pillow_state.decoding_up_to(limits.max_pixels):
        image, source = opening.open_source(data, limits)
        admit(memory.checked_need(source, options, limits))
        whole = picture.decode(image, source, options)
        del image
        chosen = choice.choose(_facts(source, whole), options)
        target = Target(options.target_bytes, min(options.min_quality, chosen.quality or 1))
        if chosen.is_already_compressed and target.is_met(data):
            return _kept(source, whole, options, ALREADY_COMPRESSED)
        return _smallest(source, whole, chosen, target, options)


def _facts(source: Source, whole: Picture) -> Facts:
    return Facts(
        format=source.format,
        quality=source.quality,
        is_transparent=whole.is_transparent,
        is_animated=whole.is_animated,
        is_resized=whole.is_resized,
    )


def _smallest(
    source: Source, whole: Picture, chosen: Choice, target: Target, options: Compression
) -> Compressed:
    wish = Wish.of(chosen.format.name, chosen.quality, source.subsampling, options)
    try:
        found = fitted(whole, wish, target)
    except CodecError as error:
        if chosen.may_keep and error.code is ErrorCode.ENCODE_FAILED:  # such as a side too long for WebP
            return _kept(source, whole, options, KEPT_ORIGINAL)
        raise
    encoded = found.encoded
    has_stopped = whole.is_animated and chosen.format != formats.JPEG and not is_animated(encoded.data)
    if chosen.may_keep and (has_stopped or len(encoded.data) >= _kept_bytes(source, options)):
        kept = _kept(source, whole, options, KEPT_ORIGINAL)
        return kept if target.is_met(kept.data) else replace(kept, notes=(*kept.notes, MISSED))
    if has_stopped:
        encoded = replace(encoded, notes=(*encoded.notes, STILL))
    return _result(source, whole, encoded, chosen.format, found.quality)


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


def _kept(source: Source, whole: Picture, options: Compression, note: str) -> Compressed:
    """The source's own picture, bit for bit; without metadata unless they were asked for."""
    try:
        data = _bare(source, options)
    except strip.UnstrippableError:
        return _without_loss(source, whole, options)
    return _kept_result(source, whole, data, note)


def _without_loss(source: Source, whole: Picture, options: Compression) -> Compressed:
    """For files whose metadata can't be cut out, such as TIFF: the same pixels in another format.

    Where even that is longer, the file stays as it is and a note says so.
    """
    wish = Wish(format="webp", quality=100, lossless=True, optimize=options.optimize)
    is_small = whole.width * whole.height * len(whole.frames) <= memory.LOSSLESS_MAX_PIXELS
    encoded = _attempt(whole, wish) if is_small else None
    if encoded is not None and len(encoded.data) < len(source.data):
        has_stopped = whole.is_animated and not is_animated(encoded.data)
        notes = (*encoded.notes, "lossless", *((STILL,) if has_stopped else ()))
        return _result(source, whole, Encoded(encoded.data, notes), formats.WEBP)
    return _kept_result(source, whole, source.data, KEPT_ORIGINAL, "metadata_kept")


def _attempt(whole: Picture, wish: Wish) -> Encoded | None:
    try:
        return encode.encode(whole, wish)
    except CodecError:
        return None


def _kept_result(source: Source, whole: Picture, data: bytes, *notes: str) -> Compressed:
    """The source's own pixels, so that nothing is told of them; `data` may lack what was beside them."""
    bare = replace(whole, notes=())
    return _result(source, bare, Encoded(data, notes), source.format)


def _result(
    source: Source, whole: Picture, encoded: Encoded, image_format: ImageFormat, quality: int | None = None
) -> Compressed:
    lost = extras.lost(source.data, encoded.data, source.format)
    return Compressed(
        data=encoded.data,
        format=image_format.name,
        width=whole.width,
        height=whole.height,
        source_format=source.format.name,
        source_quality=source.quality.number,
        quality=quality,
        quality_basis=source.quality.basis,
        notes=(*whole.notes, *lost, *encoded.notes),
    )
