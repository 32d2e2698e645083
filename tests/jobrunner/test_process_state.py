"""Working on an image leaves nothing behind in the process: no setting of Pillow, no limit, no filter."""

import locale
import logging
import os
import random
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from imagebatch.options import Compression
from imagebatch_jobrunner.codec.compress import compress_image
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits
from imagebatch_testing import psd_files
from imagebatch_testing.tiff_files import Page, tiff

Encode = Callable[..., bytes]
PLAIN = (bool, int, float, str, bytes, tuple, frozenset, type(None))


def state() -> dict[str, Any]:
    """What a call could leave behind; Pillow's tables by their length, its other settings by their value."""
    return {
        **pillow_globals(),
        "warnings": list(warnings.filters),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "umask": umask(),
        "limits": {
            name: resource.getrlimit(getattr(resource, name))
            for name in dir(resource)
            if name.startswith("RLIMIT")
        },
        "signals": [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM)],
        "recursion": sys.getrecursionlimit(),
        "locale": locale.setlocale(locale.LC_ALL),
        "random": random.getstate(),
        "threads": threading.active_count(),
        "log levels": (logging.root.level, logging.getLogger("PIL").level),
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "files": sorted(Path("/proc/self/fd").iterdir()) if Path("/proc/self/fd").is_dir() else [],
    }


def pillow_globals() -> dict[str, Any]:
    modules = {
        name: module for name, module in sys.modules.items() if name == "PIL" or name.startswith("PIL.")
    }
    return {
        f"{name}.{key}": value if isinstance(value, PLAIN) else len(value)
        for name, module in modules.items()
        for key, value in vars(module).items()
        if isinstance(value, (*PLAIN, dict, list, set)) and not key.startswith("__")
    }


def umask() -> int:
    found = os.umask(0o22)
    os.umask(found)
    return found


LIMITS = PictureLimits(max_pixels=1_000_000, max_frames=50)


@pytest.fixture
def files(photo: Image.Image, encode: Encode) -> dict[str, bytes]:
    moving = {"save_all": True, "append_images": [photo.rotate(90)], "duration": 0}
    samples = [[tuple(256 * value for value in (x, y, 9)) for x in range(20)] for y in range(20)]
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "long " * 9000, zip=True)
    found = {
        name.lower(): encode(photo, name)
        for name in ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF", "ICO")
    }
    found |= {
        f"moving {name.lower()}": encode(photo, name, **moving) for name in ("PNG", "WEBP", "GIF", "AVIF")
    }
    found |= {
        "planar tiff": tiff(Page(samples=samples, photometric=2, bits=16, planar=2)),
        "rare tiff": tiff(Page(samples=samples, photometric=32803, bits=16)),
        "psd": psd_files.psd(psd_files.Document(planes=[[[9] * 20] * 20] * 3, mode=3)),
        "cmyk jpeg": encode(photo.convert("CMYK"), "JPEG"),
        "deep png": encode(photo.convert("L").convert("I;16"), "PNG"),
        "png with text": encode(photo, "PNG", pnginfo=text),
        "over the limit": encode(Image.new("L", (1001, 1000)), "PNG"),
        "far over the limit": encode(Image.new("L", (3000, 1000)), "WEBP"),
        "no image": b"<html>",
        "empty": b"",
        "rubbish": b"\x89PNG\r\n\x1a\n" + bytes(99),
    }
    return found | {
        f"cut {name}": data[: len(data) * 2 // 3] for name, data in found.items() if len(data) > 200
    }


OPTIONS = [{}, {"format": "jpeg", "progressive": True, "optimize": True}, {"format": "webp", "max_width": 50},
           {"format": "avif"}, {"format": "png", "strip_metadata": False}, {"target_bytes": 100}]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_call_leaves_no_trace_in_the_process(files: dict[str, bytes], options: dict[str, Any]) -> None:
    tried(files["jpeg"], options)  # modules are loaded once
    succeeded = 0
    for name, data in files.items():
        before = state()
        succeeded += tried(data, options)
        assert state() == before, name
    assert 10 < succeeded < len(files) - 10


def tried(data: bytes, options: dict[str, Any]) -> bool:
    try:
        compress_image(data, Compression(**options), LIMITS)
    except CodecError:
        return False
    return True


def test_nor_does_one_that_is_interrupted(files: dict[str, bytes]) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    for name in ("jpeg", "avif", "planar tiff"):
        before = state()
        with pytest.raises(KeyboardInterrupt):
            compress_image(files[name], Compression(), LIMITS, stop)
        assert state() == before
