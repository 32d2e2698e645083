"""Random damage to JPEGs, and whether the requantiser stands it. python -m imagebatch_testing.fuzzing SECONDS [SEED]

At quality 100 no step changes, so that what it accepts must decode to the same pixels as the input, by libjpeg.
The library is built with checks of arithmetic. An input that is judged wrongly is kept in the corpus, which every
later run tries first.
"""

import base64
import hashlib
import io
import random
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from imagebatch_jobrunner.decoder.jpeg import requantiser
from imagebatch_jobrunner.decoder.jpeg.requantiser import NotRequantisableError, Requantising
from imagebatch_jobrunner.errors import CodecError

REPOSITORY = Path(__file__).resolve().parents[3]
CORPUS = REPOSITORY / "tests" / "jobrunner" / "fuzz_corpus"
BUILD = REPOSITORY / "jobrunner" / "native" / "build.py"
SIZE = (67, 53)
KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("RGB", {}),
    ("RGB", {"subsampling": 0}),
    ("RGB", {"subsampling": 1}),
    ("L", {}),
    ("CMYK", {}),
    ("RGB", {"keep_rgb": True}),
    ("RGB", {"optimize": True}),
    ("RGB", {"restart_marker_blocks": 2}),
    ("RGB", {"progressive": True}),
    ("L", {"progressive": True}),
    ("RGB", {"progressive": True, "restart_marker_rows": 1}),
)
SAME = Requantising(
    quality=100, rounds_up_from=500, orientation=1, max_coefficient_bytes=1 << 28, max_pixels=1 << 24
)


def seeds() -> list[bytes]:
    """A small picture of each kind."""
    return [_seed(number, mode, options) for number, (mode, options) in enumerate(KINDS)]


def _seed(number: int, mode: str, options: dict[str, Any]) -> bytes:
    spots = Image.frombytes("RGB", (8, 8), random.Random(number).randbytes(192))
    file = io.BytesIO()
    spots.resize(SIZE, Image.Resampling.BICUBIC).convert(mode).save(file, "JPEG", quality=80, **options)
    return file.getvalue()


def mutated(source: random.Random, files: list[bytes]) -> bytes:
    """One of the files, with up to four bytes changed, perhaps cut."""
    data = bytearray(source.choice(files))
    for _ in range(source.choice((1, 1, 2, 4))):
        at = source.randrange(2, len(data))
        data[at] = source.choice((source.randrange(256), data[at] ^ 1 << source.randrange(8), 0, 255))
    if source.random() < 0.1:
        del data[source.randrange(len(data)) :]
    return bytes(data)


def judged(data: bytes) -> str:
    """What the requantiser says of a file, in a word. Raises AssertionError when that is not right."""
    try:
        found = requantiser.requantised(data, SAME)
    except CodecError as error:
        return error.code.value
    except NotRequantisableError:
        return "unsupported"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = _decoded(data)
        if before is None:
            return "refused by libjpeg"
        after = _decoded(found)
    assert after is not None, "libjpeg does not read what was written"
    assert (before.mode, before.size) == (after.mode, after.size)
    assert before.tobytes() == after.tobytes(), "another picture"
    return "the same"


def _decoded(data: bytes) -> Image.Image | None:
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except Exception:  # noqa: BLE001 - decoders raise anything
        return None
    return image


def kept() -> Iterator[bytes]:
    """What was judged wrongly once."""
    for file in sorted(CORPUS.glob("*.jpg")):
        yield file.read_bytes()


def main(seconds: float, seed: int) -> None:
    library = REPOSITORY / "build" / "checked" / "libimagebatch.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, BUILD, library, "checked"], check=True)
    requantiser._LIBRARY = requantiser._loaded(library)
    assert requantiser.is_available(), "there is no Rust compiler"
    source, files, counts = random.Random(seed), seeds(), Counter[str]()
    for data in kept():
        judged(data)
    end = time.monotonic() + seconds
    last = REPOSITORY / "build" / "checked" / "last.jpg"
    while time.monotonic() < end:
        data = mutated(source, files)
        last.write_bytes(data)  # a panic ends the process, and leaves it there
        try:
            counts[judged(data)] += 1
        except AssertionError as error:
            CORPUS.mkdir(exist_ok=True)
            name = CORPUS / f"{hashlib.sha256(data).hexdigest()[:12]}.jpg"
            name.write_bytes(data)
            sys.exit(f"seed {seed}: {error}: {name}, in base64:\n{base64.b64encode(data).decode()}")
    sys.stdout.write(f"seed {seed}: {counts.total()} files, none judged wrongly: {dict(counts)}\n")


if __name__ == "__main__":
    main(
        float(sys.argv[1]),
        int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32),
    )
