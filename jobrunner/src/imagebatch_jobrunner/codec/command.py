"""How a codec process is started: its command line and its environment. Used by `pool`, and by `imagebatch`.

The decoder is started by its name and never imported here, for it opens what strangers made.
"""

import os
import subprocess
import sys

from imagebatch_jobrunner.limits import CodecLimits

GRACE_SECONDS = 5.0
"""What a codec process gets beyond an image's time, so that its parent is the one to end it."""

_DECODER = "imagebatch_jobrunner.decoder"
_ALL_FROM_THE_HEAP = str(256 << 20)
_HEAP = {
    "MALLOC_MMAP_THRESHOLD_": _ALL_FROM_THE_HEAP,
    "MALLOC_TRIM_THRESHOLD_": _ALL_FROM_THE_HEAP,
}
"""What glibc reads when a process starts (mallopt(3)). By itself it hands the memory of each picture back
to the kernel and takes it again page by page for the next one: 1,500 page faults a picture of 1.2
megapixels, a third of its cost.
"""

ENVIRONMENT = {
    **{name: os.environ[name] for name in ("SYSTEMROOT", "LD_LIBRARY_PATH") if name in os.environ},
    **_HEAP,
}
"""Of a codec process: no secret is in it."""


def codec_command(limits: CodecLimits) -> tuple[str, ...]:
    """The command of a codec process."""
    return (
        *_python(),
        "--memory-bytes", str(limits.memory_bytes),
        "--seconds", str(limits.seconds + GRACE_SECONDS),
        "--nice", str(limits.nice),
    )  # fmt: skip


def codec_version() -> str:
    """What makes a JPEG of a JPEG, for people: it depends on how ImageBatch was installed."""
    command = (*_python(), "--version")
    ran = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT)  # noqa: S603 - our own
    return ran.stdout.strip()


def _python() -> tuple[str, ...]:
    """`-I` keeps the environment and the working folder out of it.

    It may write bytecode to disk, as every Python does, unless this one may not: without it each start
    compiles Pillow anew, which takes longer than all else. It is written before the first image is read.
    """
    compiled = ("-B",) if sys.dont_write_bytecode else ()
    return (sys.executable, "-I", *compiled, "-m", _DECODER)
