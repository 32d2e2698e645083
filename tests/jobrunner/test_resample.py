"""Pictures made smaller in Rust: what Pillow makes, within a level; and what does not fit is refused."""

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from imagebatch.options import Compression
from imagebatch_jobrunner.decoder import native, pixels
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.decoder.resize import resized
from imagebatch_jobrunner.limits import PictureLimits
from imagebatch_testing import crates
from imagebatch_testing.jpegs import opened

Size = tuple[int, int]
MODES = ["L", "RGB", "RGBA"]
LANCZOS = Image.Resampling.LANCZOS

if not pixels.is_available():
    if os.environ.get("CI"):
        raise RuntimeError("there is no resampler, so no Rust compiler: CI is to have one")
    pytest.skip("there is no resampler, for no Rust compiler was there to build it", allow_module_level=True)

REDUCTIONS: dict[str, tuple[Size, Size]] = {
    "hardly": ((300, 200), (297, 198)),
    "by 1.5": ((600, 490), (400, 327)),
    "by 2": ((256, 128), (128, 64)),
    "by 3.7": ((331, 477), (89, 129)),
    "by 50": ((1000, 700), (20, 14)),
    "width alone": ((301, 99), (100, 99)),
    "height alone": ((99, 301), (99, 100)),
    "the width by one": ((64, 64), (63, 64)),
    "to one pixel": ((170, 90), (1, 1)),
    "to one row": ((500, 9), (77, 1)),
    "to one column": ((9, 500), (1, 77)),
    "one row": ((700, 1), (123, 1)),
    "one column": ((1, 700), (1, 123)),
    "two pixels": ((2, 1), (1, 1)),
    "wider than a strip": ((9000, 70), (4000, 31)),
    "the widest": ((65_535, 3), (300, 1)),
    "the highest": ((2, 65_535), (1, 300)),
    "higher than wide": ((70, 900), (40, 514)),
}


def noise(mode: str, size: Size) -> Image.Image:
    """All levels, and many that are 0 or 255: there sums go beyond what a byte holds. Opaque, clear and
    between.
    """
    channels = [Image.effect_noise(size, 200) for _ in range(4)]
    return Image.merge("RGBA", channels).convert(mode)


def smooth(mode: str, size: Size) -> Image.Image:
    channels = [Image.linear_gradient("L"), Image.radial_gradient("L")]
    channels += [channel.rotate(90) for channel in channels]
    return Image.merge("RGBA", channels).resize(size).convert(mode)


def by_pillow(image: Image.Image, size: Size) -> Image.Image:
    """Along rows first. Pillow 13 itself goes along columns first where more than twice as many rows as
    columns are left out, and cuts in between what goes beyond a byte.
    """
    if image.mode == "RGBA":
        return by_pillow(image.convert("RGBa"), size).convert("RGBA")
    return image.resize((size[0], image.height), LANCZOS).resize(size, LANCZOS)


def most(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of two levels. Of transparent pictures that is of opacity, and of colours as
    they show over black less one: a colour next to nobody sees is a quotient of small numbers.
    """
    assert (one.mode, one.size) == (other.mode, other.size)
    if one.mode == "RGBA":
        colours = zip(over_black(one), over_black(other), strict=True)
        return max(most(one.getchannel("A"), other.getchannel("A")), *(most(a, b) - 1 for a, b in colours))
    bands = zip(one.split(), other.split(), strict=True)
    return max(int(ImageChops.difference(a, b).getextrema()[1]) for a, b in bands)  # type: ignore[arg-type]


def over_black(image: Image.Image) -> list[Image.Image]:
    alpha = image.getchannel("A")
    return [ImageChops.multiply(image.getchannel(channel), alpha) for channel in "RGB"]


@pytest.mark.parametrize("draw", [noise, smooth])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("size", "to_size"), REDUCTIONS.values(), ids=REDUCTIONS)
def test_it_makes_what_pillow_makes_within_a_level(
    draw: Callable[[str, Size], Image.Image], mode: str, size: Size, to_size: Size
) -> None:
    image = draw(mode, size)
    found, theirs = resized(image, to_size), by_pillow(image, to_size)
    assert most(found, theirs) <= 1
    (columns, rows) = (before - after for before, after in zip(size, to_size, strict=True))
    if rows <= 2 * columns:
        assert most(found, image.resize(to_size, LANCZOS)) <= 1


@given(st.data(), st.sampled_from(MODES))
@settings(max_examples=80, deadline=None)
def test_so_it_does_for_any_size(data: st.DataObject, mode: str) -> None:
    size = data.draw(st.tuples(st.integers(1, 150), st.integers(1, 150)))
    to_size = data.draw(st.tuples(*(st.integers(1, side) for side in size)))
    image = noise(mode, size)
    assert most(resized(image, to_size), by_pillow(image, to_size)) <= 1


def test_next_to_all_levels_are_pillow_s() -> None:
    image = noise("L", (1200, 980))
    histogram = ImageChops.difference(resized(image, (800, 653)), by_pillow(image, (800, 653))).histogram()
    assert sum(histogram[1:]) < 800 * 653 / 2000


@pytest.mark.parametrize("level", [0, 1, 127, 128, 254, 255])
@pytest.mark.parametrize("mode", MODES)
def test_a_flat_picture_stays_flat(mode: str, level: int) -> None:
    """Of half transparent ones as much of a colour stays as Pillow's premultiplied bytes hold."""
    flat = Image.new("RGBA", (97, 61), (level,) * 3 + (255 if mode != "RGBA" else 128,)).convert(mode)
    for to_size in ((96, 60), (50, 61), (13, 7), (1, 1)):
        found = resized(flat, to_size)
        assert len(found.getcolors() or ()) == 1
        assert found.getpixel((0, 0)) == by_pillow(flat, to_size).getpixel((0, 0))
        if mode != "RGBA":
            assert found.getpixel((0, 0)) == flat.getpixel((0, 0))


def test_colours_that_nobody_sees_do_not_bleed() -> None:
    red = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    red.paste((0, 0, 255, 255), (0, 0, 20, 40))
    reds = resized(red, (30, 30)).getchannel("R").getextrema()
    assert reds == (0, 0)


@pytest.mark.parametrize("mode", MODES)
def test_two_calls_make_the_same_bytes(mode: str) -> None:
    image = noise(mode, (333, 222))
    assert resized(image, (100, 67)).tobytes() == resized(image, (100, 67)).tobytes()


def test_a_picture_of_that_size_is_given_back() -> None:
    image = noise("RGB", (9, 9))
    assert resized(image, (9, 9)) is image


@pytest.mark.parametrize(
    ("mode", "to_size"), [("LA", (5, 5)), ("F", (5, 5)), ("RGB", (30, 5)), ("L", (20, 21))], ids=str
)
def test_others_are_left_to_pillow(mode: str, to_size: Size) -> None:
    image = noise("RGBA", (20, 20)).convert("L").convert(mode)
    assert resized(image, to_size).tobytes() == image.resize(to_size, LANCZOS).tobytes()


def test_without_the_library_pillow_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    image = noise("RGB", (40, 30))
    monkeypatch.setattr(pixels, "_LIBRARY", native.loaded(Path("missing")))
    assert resized(image, (20, 15)).tobytes() == image.resize((20, 15), LANCZOS).tobytes()


@pytest.mark.parametrize(
    ("size", "to_size", "channels"),
    [
        ((0, 1), (1, 1), 4), ((9, 9), (0, 3), 4), ((9, 9), (3, -1), 4), ((9, 9), (10, 9), 1),
        ((9, 9), (3, 3), 3), ((65_536, 1), (9, 1), 1), ((1, 1 << 62), (1, 1), 4),
    ],
)  # fmt: skip
def test_sizes_that_can_not_be_are_refused(size: Size, to_size: Size, channels: int) -> None:
    with pytest.raises(ValueError, match="channels"), pixels.Resampler(size, to_size, channels):
        pass


@pytest.mark.parametrize("length", [0, 1, 35, 37, 36 * 10])
def test_rows_that_do_not_fit_are_refused_and_change_nothing(length: int) -> None:
    rows = noise("RGB", (9, 9)).tobytes("raw", "RGBX")
    with pixels.Resampler((9, 9), (4, 4), 4) as whole, pixels.Resampler((9, 9), (4, 4), 4) as resampler:
        with pytest.raises(ValueError, match=f"{length} bytes"):
            resampler.push(bytes(length))
        assert resampler.push(rows) == whole.push(rows)
        with pytest.raises(ValueError, match="36 bytes"):
            resampler.push(rows[:36])


def test_what_has_ended_takes_no_rows() -> None:
    with pixels.Resampler((9, 9), (4, 4), 1) as resampler:
        pass
    with pytest.raises(ValueError, match="9 bytes"):
        resampler.push(bytes(9))


@pytest.mark.parametrize("heights", [[61], [1] * 61, [2, 16, 1, 40, 2]], ids=len)
def test_strips_of_any_height_make_the_same(heights: list[int]) -> None:
    image = noise("L", (50, 61))
    ends = [sum(heights[:count]) for count in range(len(heights) + 1)]
    with pixels.Resampler((50, 61), (25, 40), 1) as resampler:
        strips = [
            resampler.push(image.crop((0, top, 50, bottom)).tobytes()) for top, bottom in pairwise(ends)
        ]
    assert b"".join(strips) == resized(image, (25, 40)).tobytes()


def test_all_frames_of_an_animation_are_made_smaller(encode: Callable[..., bytes]) -> None:
    frames = [noise("RGBA", (60, 40)) for _ in range(3)]
    data = encode(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=50)
    found = opened(compress_image(data, Compression(format="png", max_width=30), PictureLimits()).data)
    assert (found.size, getattr(found, "n_frames", 1)) == ((30, 20), 3)
    for number, frame in enumerate(frames):
        found.seek(number)
        assert most(found.convert("RGBA"), by_pillow(frame, (30, 20))) <= 1


INSTRUCTIONS_A_PIXEL = {"1": 36, "4": 84}
"""By channels, of the larger picture. 33.3 and 78.8 with rustc 1.95; other compilers differ by a few per cent."""


@pytest.fixture(scope="module")
def resample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that resamples a picture some times, built as the library is."""
    return crates.example("pixels", "resample", tmp_path_factory.mktemp("resample"))


@pytest.mark.parametrize("channels", INSTRUCTIONS_A_PIXEL)
def test_resampling_takes_no_more_instructions_than_it_did(
    resample: Path, tmp_path: Path, channels: str
) -> None:
    """Those of four pictures less those of one: the example draws one first."""

    def instructions(times: int) -> int:
        return crates.instructions([resample, "600", "240", channels, str(times)], tmp_path)

    assert (instructions(4) - instructions(1)) / 3 <= INSTRUCTIONS_A_PIXEL[channels] * 600 * 240
