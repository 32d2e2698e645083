"""What a call could leave behind in its process, and which calls of compress_image do."""

import locale
import logging
import os
import random
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from imagebatch.options import Compression
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits

LIMITS = PictureLimits(max_pixels=1_000_000, max_frames=50)
PLAIN = (bool, int, float, str, bytes, tuple, frozenset, type(None))


def traces(files: Mapping[str, bytes], options: Mapping[str, Any]) -> tuple[int, dict[str, dict[str, Any]]]:
    """Compress each file; return how many succeed and, by file, what is different in the process afterwards.

    To be called in a process of its own: elsewhere other threads open and close files meanwhile.
    """
    Image.preinit()  # Pillow loads these plugins with the first file that it opens or saves
    tried(next(iter(files.values())), options)  # modules are loaded once
    succeeded = 0
    found = {}
    for name, data in files.items():
        before = state()
        succeeded += tried(data, options)
        found[name] = changes(before, state())
    return succeeded, {name: changed for name, changed in found.items() if changed}


def tried(data: bytes, options: Mapping[str, Any]) -> bool:
    try:
        compress_image(data, Compression(**options), LIMITS)
    except CodecError:
        return False
    return True


def traces_of_interrupted(files: Mapping[str, bytes]) -> tuple[int, dict[str, dict[str, Any]]]:
    """As traces, but each call is interrupted as soon as it asks for its grant; counts the interrupted."""
    interrupted = 0
    found = {}
    for name, data in files.items():
        before = state()
        try:
            compress_image(data, Compression(), LIMITS, _interrupt)
        except KeyboardInterrupt:
            interrupted += 1
        found[name] = changes(before, state())
    return interrupted, {name: changed for name, changed in found.items() if changed}


def _interrupt(_: int) -> None:
    raise KeyboardInterrupt


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Each key whose value is not the same in both, with both values."""
    return {
        key: (before.get(key), after.get(key))
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    }


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
        "files": sorted(map(str, Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else [],
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
