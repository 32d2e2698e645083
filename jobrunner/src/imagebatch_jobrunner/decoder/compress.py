"""Making a picture smaller: bytes and options in, bytes and facts out. No network, no files, no state.

Called by `__main__` in a process of its own, because it decodes what strangers made. A JPEG that keeps its
size is requantised, everything else decoded to pixels and encoded again.
"""

from collections.abc import Callable
from contextlib import suppress

from imagebatch.options import Compression
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.decoder import from_pixels, memory, pillow_state, probe
from imagebatch_jobrunner.decoder.jpeg import transcode
from imagebatch_jobrunner.decoder.jpeg.requantiser import NotRequantisableError
from imagebatch_jobrunner.decoder.smallest import smallest
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
        image, source = probe.open_source(data, limits)
        chosen = transcode.choose(source, options)
        if chosen is not None:
            with suppress(NotRequantisableError):
                admit(memory.checked(memory.requantising(source, options), source, limits))
                encodable = transcode.opened(image, source, chosen, options, limits)
                return smallest(source, encodable, chosen, options)
        probe.check_pixels(source, limits.max_pixels)
        admit(memory.checked(memory.decoding(source, options), source, limits))
        encodable, chosen = from_pixels.decoded(image, source, options)
        del image
        return smallest(source, encodable, chosen, options)
