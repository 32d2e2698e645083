"""Making a picture smaller: bytes and options in, bytes and facts out. No network, no files, no state.

Called by `codec` in a process of its own, because it decodes what strangers made. A JPEG that keeps its size
is requantised, everything else decoded to pixels and encoded again.
"""

from collections.abc import Callable
from contextlib import suppress

from imagebatch.options import Compression
from imagebatch_jobrunner.codec import from_pixels, jpeg_to_jpeg, memory, opening, pillow_state
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.codec.requantiser import NotRequantisableError
from imagebatch_jobrunner.codec.smallest import smallest
from imagebatch_jobrunner.limits import PictureLimits

Admit = Callable[[int], None]


def compress_image(
    data: bytes, options: Compression, limits: PictureLimits, admit: Admit = lambda _: None
) -> Compressed:
    """Compress one image. Raises CodecError; MemoryError passes through.

    Without a size limit or another format asked for, the result is never longer than `data`. `admit` is
    called before anything is decoded with the bytes of memory that it will take at most, and may wait; a
    second call, for what the requantiser leaves to others, takes the place of the first.
    """
    with pillow_state.decoding_up_to(limits.max_pixels):
        image, source = opening.open_source(data, limits)
        chosen = jpeg_to_jpeg.choose(source, options)
        if chosen is not None:
            with suppress(NotRequantisableError):
                admit(memory.checked(memory.requantising(source, options), source, limits))
                encodable = jpeg_to_jpeg.opened(image, source, chosen, options, limits)
                return smallest(source, encodable, chosen, options)
        opening.check_pixels(source, limits.max_pixels)
        admit(memory.checked(memory.decoding(source, options), source, limits))
        encodable, chosen = from_pixels.decoded(image, source, options)
        del image
        return smallest(source, encodable, chosen, options)
