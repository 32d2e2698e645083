"""What a JPEG costs, in counts that no other program changes: instructions, page faults, bytes, likeness."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from PIL import Image, ImageMath

from imagebatch.options import Compression
from imagebatch_jobrunner.codec.command import ENVIRONMENT
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.decoder.jpeg import requantiser
from imagebatch_jobrunner.limits import PictureLimits
from imagebatch_testing import crates, natural
from imagebatch_testing.jpegs import opened

Encode = Callable[..., bytes]

pytestmark = pytest.mark.skipif(
    not requantiser.is_available(),
    reason="there is no requantiser, for no Rust compiler was there to build it",
)

SIZE = (600, 480)
INSTRUCTIONS_A_PIXEL = {"baseline": 22, "progressive": 60}
"""20.3 and 55.2 with rustc 1.95; other compilers differ by a few per cent."""

FAULTS_A_PICTURE = 5
"""Where glibc's own settings cause some 1,500 in a picture of 1.2 megapixels that is decoded."""


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that requantises a file once, built as the library is."""
    return crates.example("requantiser", "once", tmp_path_factory.mktemp("once"))


@pytest.mark.parametrize("kind", INSTRUCTIONS_A_PIXEL)
def test_requantising_takes_no_more_instructions_than_it_did(
    once: Path, tmp_path: Path, encode: Encode, kind: str
) -> None:
    file = tmp_path / "picture.jpg"
    file.write_bytes(encode(natural.drawn(1, SIZE), "JPEG", quality=90, progressive=kind == "progressive"))
    collected = crates.instructions([once, file, "45"], tmp_path)
    assert collected <= INSTRUCTIONS_A_PIXEL[kind] * SIZE[0] * SIZE[1]


FAULTS = """
import resource, sys
from imagebatch.options import Compression
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.limits import PictureLimits
data, options = open(sys.argv[1], "rb").read(), Compression(format=sys.argv[2])
def compress(times):
    for _ in range(times):
        compress_image(data, options, PictureLimits())
compress(5)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
compress(20)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 20)
"""


@pytest.mark.parametrize(("stored", "output"), [("JPEG", "jpeg"), ("PNG", "jpeg"), ("JPEG", "webp")])
def test_a_codec_process_takes_its_memory_once(
    tmp_path: Path, encode: Encode, stored: str, output: str
) -> None:
    file = tmp_path / "picture"
    file.write_bytes(encode(natural.drawn(1, (1200, 980)), stored))
    ran = subprocess.run(
        [sys.executable, "-c", FAULTS, file, output],
        check=True, capture_output=True, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert float(ran.stdout) <= FAULTS_A_PICTURE


def test_files_are_shorter_than_libjpeg_s_and_as_like_their_sources(encode: Encode) -> None:
    """Over ten pictures at the quality that half of 90 is. To a thousandth: what
    calibration.py was found on are photographs, which these are only like.
    """
    sources = [encode(natural.drawn(seed, SIZE), "JPEG", quality=90) for seed in range(10)]
    ours = [compress_image(data, Compression(), PictureLimits()).data for data in sources]
    theirs = [encode(opened(data), "JPEG", quality=45) for data in sources]
    assert sum(map(len, ours)) <= 0.85 * sum(map(len, theirs))
    likes = [
        fmean(ssim(opened(a), opened(b)) for a, b in zip(sources, made, strict=True))
        for made in (ours, theirs)
    ]
    assert likes[0] >= likes[1] - 0.001


def ssim(one: Image.Image, other: Image.Image) -> float:
    """The mean structural similarity of the luminance, in blocks of 8 x 8 (Wang and others, 2004)."""
    x, y = (image.convert("L").convert("F") for image in (one, other))

    def mean(left: Image.Image, right: Image.Image | None = None) -> Image.Image:
        return (left if right is None else product(left, right)).reduce(8)

    values = {"x": mean(x), "y": mean(y), "xx": mean(x, x), "yy": mean(y, y), "xy": mean(x, y)}
    found = ImageMath.lambda_eval(_ssim, **values)
    return float(fmean(found.get_flattened_data()))


def product(left: Image.Image, right: Image.Image) -> Image.Image:
    found: Image.Image = ImageMath.lambda_eval(lambda of: of["a"] * of["b"], a=left, b=right)
    return found


def _ssim(of: dict[str, Any]) -> Any:
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    covariance = of["xy"] - of["x"] * of["y"]
    variances = of["xx"] - of["x"] * of["x"] + of["yy"] - of["y"] * of["y"]
    means = of["x"] * of["x"] + of["y"] * of["y"]
    return (2 * of["x"] * of["y"] + c1) * (2 * covariance + c2) / ((means + c1) * (variances + c2))
