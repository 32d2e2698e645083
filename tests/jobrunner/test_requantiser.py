"""The requantiser: what it makes shows the same picture, and what is not whole is refused."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.decoder.jpeg import calibration, requantiser
from imagebatch_jobrunner.decoder.jpeg.requantiser import NotRequantisableError, Requantising
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits
from imagebatch_testing import fuzzing, natural
from imagebatch_testing.jpegs import opened
from imagebatch_testing.likeness import film, likeness

Encode = Callable[..., bytes]
CRATES = fuzzing.BUILD.parent
SUPPORT = str(Path(fuzzing.__file__).parents[1])

if not requantiser.is_available():
    if os.environ.get("CI"):
        raise RuntimeError("there is no requantiser, so no Rust compiler: CI is to have one")
    pytest.skip(
        "there is no requantiser, for no Rust compiler was there to build it", allow_module_level=True
    )


def request(quality: int = 45, orientation: int = 1, max_coefficient_bytes: int = 1 << 30) -> Requantising:
    return Requantising(
        quality=quality,
        orientation=orientation,
        rounds_up_from=500,
        max_coefficient_bytes=max_coefficient_bytes,
        max_pixels=1 << 26,
    )


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "4:2:0": ("RGB", {}),
    "4:2:2": ("RGB", {"subsampling": 1}),
    "4:4:4": ("RGB", {"subsampling": 0}),
    "4:1:1": ("RGB", {"subsampling": "4:1:1"}),
    "RGB": ("RGB", {"keep_rgb": True}),
    "grey": ("L", {}),
    "CMYK": ("CMYK", {}),
    "progressive": ("RGB", {"progressive": True}),
    "progressive grey": ("L", {"progressive": True}),
    "restart markers": ("RGB", {"restart_marker_blocks": 3}),
    "rows between restarts": ("RGB", {"restart_marker_rows": 1, "progressive": True}),
    "own tables": ("RGB", {"optimize": True}),
}


@pytest.mark.parametrize("size", [(160, 120), (161, 119), (8, 8), (1, 1), (17, 300)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_shows_what_pillow_makes_of_it(
    photo: Image.Image, encode: Encode, kind: str, size: tuple[int, int]
) -> None:
    """Within what quality 45 costs. Chrominance's steps are coarser than Pillow's, which a single block shows."""
    mode, options = KINDS[kind]
    picture = photo.resize(size, Image.Resampling.LANCZOS).convert(mode)
    data = encode(picture, "JPEG", quality=92, **options)
    found = requantiser.requantised(data, request())
    assert len(found) <= len(data)
    assert (opened(found).mode, opened(found).size) == (mode, size)
    by_pillow = encode(opened(data), "JPEG", quality=45, subsampling=options.get("subsampling", -1))
    theirs = likeness(film(data), film(by_pillow)).colours
    assert likeness(film(data), film(found)).colours <= theirs + (1.5 if size == (8, 8) else 1.0)


@pytest.mark.parametrize("size", [(160, 120), (161, 119), (1, 1), (17, 300)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_a_progressive_file_shows_the_same_pixels(
    photo: Image.Image, encode: Encode, kind: str, size: tuple[int, int]
) -> None:
    mode, options = KINDS[kind]
    data = encode(photo.resize(size, Image.Resampling.LANCZOS).convert(mode), "JPEG", quality=92, **options)
    for quality in (45, 90, 100):
        plain = requantiser.requantised(data, request(quality))
        found = requantiser.requantised(data, replace(request(quality), progressive=True))
        assert opened(found).info["progressive"]
        assert opened(found).tobytes() == opened(plain).tobytes()
        requantiser.check(found, request())


def test_a_progressive_file_is_about_as_long_as_libjpeg_s(encode: Encode) -> None:
    data = encode(natural.drawn(1, (600, 480)), "JPEG", quality=90)
    found = requantiser.requantised(data, replace(request(90), progressive=True))
    theirs = encode(opened(data), "JPEG", quality=90, progressive=True)
    assert len(found) < 1.01 * len(theirs)


def test_a_picture_with_more_symbols_than_are_kept_is_read_twice(encode: Encode) -> None:
    noise = Image.effect_noise((2400, 1600), 60)
    rgb = Image.merge("RGB", (noise, noise.rotate(180), noise.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    data = encode(rgb, "JPEG", quality=90, subsampling=0)
    found = requantiser.requantised(data, request(100))
    assert opened(found).tobytes() == opened(data).tobytes()
    assert len(found) < len(data)
    requantiser.check(found, request())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_whole_mcus_are_turned_without_loss(
    photo: Image.Image, encode: Encode, orientation: int, subsampling: int
) -> None:
    picture = photo.resize((160, 96))
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(picture, "JPEG", quality=90, subsampling=subsampling, exif=exif)
    found = compress_image(data, Compression(quality="85"), PictureLimits())
    assert found.notes == ("requantised",)
    assert (found.width, found.height) == opened(found.data).size
    assert (found.width, found.height) == ((160, 96) if orientation < 5 else (96, 160))
    assert likeness(film(data), film(found.data)).colours < 2.0


def test_what_can_not_be_turned_in_coefficients_is_turned_in_pixels(
    photo: Image.Image, encode: Encode
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    data = encode(photo.resize((155, 120)), "JPEG", quality=90, exif=exif)
    with pytest.raises(NotRequantisableError, match="MCU"):
        requantiser.requantised(data, request(orientation=3))
    found = compress_image(data, Compression(), PictureLimits())
    assert "requantised" not in found.notes
    assert likeness(film(data), film(found.data)).colours < 6.0


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_called_so(photo: Image.Image, encode: Encode, kind: str) -> None:
    """Where it breaks the code: a byte that is another may also be of another picture."""
    mode, options = KINDS[kind]
    data = encode(photo.convert(mode), "JPEG", quality=90, **options)
    found = 0
    for at in range(len(data) // 3, len(data) - 2, 97):
        damaged = data[:at] + bytes((data[at] ^ 0x55,)) + data[at + 1 :]
        try:
            requantiser.requantised(damaged, request())
        except CodecError as error:
            assert error.code in {ErrorCode.CORRUPT, ErrorCode.TRUNCATED}
            found += 1
        except NotRequantisableError:
            found += 1
    assert found > 3


def test_a_check_finds_what_requantising_finds(photo: Image.Image, encode: Encode) -> None:
    for options in ({}, {"progressive": True}):
        data = encode(photo, "JPEG", quality=90, **options)
        requantiser.check(data, request())
        with pytest.raises(CodecError, match="ends before"):
            requantiser.check(data[: len(data) * 4 // 5], request())


def test_a_source_that_is_kept_is_checked_too(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "JPEG", quality=20)
    assert compress_image(data, Compression(), PictureLimits()).notes == ("already_compressed",)
    with pytest.raises(CodecError, match="ends before"):
        compress_image(data[: len(data) // 2] + b"\xff\xd9", Compression(), PictureLimits())


def test_steps_are_never_finer_than_the_source_s(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "JPEG", quality=40)
    found = requantiser.requantised(data, request(quality=90))
    assert opened(found).quantization == opened(data).quantization  # type: ignore[attr-defined]
    assert opened(found).tobytes() == opened(data).tobytes()


def test_what_was_requantised_stays_as_it_is(photo: Image.Image, encode: Encode) -> None:
    options = Compression(quality="50")
    once = compress_image(encode(photo, "JPEG", quality=95), options, PictureLimits())
    again = compress_image(once.data, options, PictureLimits())
    assert again.data == once.data


def test_a_colour_profile_stays_and_the_rest_goes(photo: Image.Image, encode: Encode) -> None:
    exif = Image.Exif()
    exif[0x013B] = "Somebody"
    data = encode(photo, "JPEG", quality=95, icc_profile=b"profile" * 20_000, exif=exif, comment=b"hello")
    found = opened(compress_image(data, Compression(), PictureLimits()).data)
    assert found.info["icc_profile"] == b"profile" * 20_000
    assert not {"exif", "comment"} & found.info.keys()


def test_metadata_that_is_kept_says_upright(photo: Image.Image, encode: Encode) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, "Somebody"
    data = encode(photo.resize((160, 96)), "JPEG", quality=95, exif=exif, xmp=b"<x/>")
    result = compress_image(data, Compression(strip_metadata=False), PictureLimits())
    assert result.notes == ("requantised",)
    found = opened(result.data)
    assert (found.getexif()[0x0112], found.getexif()[0x013B], found.info["xmp"]) == (1, "Somebody", b"<x/>")


def test_a_streamed_picture_may_have_four_times_the_pixels(encode: Encode) -> None:
    limits = PictureLimits(max_pixels=10_000)
    plain, large = Image.new("RGB", (200, 200), "red"), Image.new("RGB", (208, 200), "red")
    assert compress_image(encode(plain, "JPEG"), Compression(), limits).width == 200
    for data, options in (
        (encode(large, "JPEG"), Compression()),
        (encode(plain, "JPEG"), Compression(progressive=True)),
        (encode(plain, "JPEG", progressive=True), Compression()),
        (encode(plain, "JPEG"), Compression(max_width=20)),
        (encode(plain, "JPEG"), Compression(format="webp")),
    ):
        with pytest.raises(CodecError, match="200 pixels; the limit is") as caught:
            compress_image(data, options, limits)
        assert caught.value.code == ErrorCode.TOO_MANY_PIXELS


def test_coefficients_take_no_more_memory_than_they_may(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "JPEG", progressive=True)
    with pytest.raises(NotRequantisableError):
        requantiser.requantised(data, request(max_coefficient_bytes=1000))


def test_a_higher_quality_never_has_coarser_tables() -> None:
    tables = [calibration.of(quality)[0] for quality in range(1, 101)]
    assert tables == sorted(tables)
    assert tables[0] >= 1
    assert tables[-1] <= 100


@pytest.mark.parametrize("data", list(fuzzing.kept()), ids=lambda data: hashlib.sha256(data).hexdigest()[:12])
def test_what_was_judged_wrongly_once_is_judged_right(data: bytes) -> None:
    fuzzing.judged(data)


def test_damaged_files_show_what_libjpeg_shows_or_are_refused() -> None:
    """In a process of its own, for a panic would end it; a new seed each time."""
    seconds = "60" if os.environ.get("CI") else "5"
    command = [sys.executable, "-m", "imagebatch_testing.fuzzing", seconds]
    ran = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": SUPPORT}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "none judged wrongly" in ran.stdout
    assert "the same" in ran.stdout


@pytest.mark.parametrize(
    "words",
    [["fmt", "--all", "--check"], ["clippy", "--workspace", "--", "-Dwarnings"], ["test", "--workspace"]],
    ids=lambda words: words[0],
)
def test_the_crates_are_formatted_linted_and_tested(words: list[str], tmp_path: Path) -> None:
    cargo = shutil.which("cargo")
    if cargo is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no cargo")
    environment = {**os.environ, "CARGO_TARGET_DIR": str(tmp_path), "CARGO_NET_OFFLINE": "true"}
    ran = subprocess.run(
        [cargo, *words], cwd=CRATES, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
