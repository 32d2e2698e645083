"""What one image may cost. Read from the settings, passed down to those who enforce it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """Checked on an image's header, before anything is decoded.

    `max_pixels` is of one frame, `max_animation_pixels` of all of them together; `memory_bytes` is what
    decoding and encoding one picture may take.
    """

    max_pixels: int = 64_000_000
    max_animation_pixels: int = 100_000_000
    max_frames: int = 1000
    memory_bytes: int = 1792 * 1024 * 1024

    @property
    def max_streamed_pixels(self) -> int:
        """Of a JPEG whose pixels are not decoded, and which takes no memory for them."""
        return 4 * self.max_pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchLimits:
    """What one download may cost; `connections` and `per_host` bound how many run at once.

    The pause before the second try is up to twice `backoff_s`, then it doubles.
    """

    max_bytes: int = 50 * 1024 * 1024
    total_s: float = 60.0
    connect_s: float = 10.0
    connections: int = 32
    per_host: int = 8
    backoff_s: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecLimits:
    """The codec processes: how many, what each may use, and all of them together for pictures.

    One that does not start is tried again after each of the pauses.
    """

    processes: int = 1
    seconds: float = 30.0
    memory_bytes: int = 3 * 1024 * 1024 * 1024
    picture_bytes: int = 1792 * 1024 * 1024
    nice: int = 10
    start_pauses_s: tuple[float, ...] = (1.0, 5.0)
