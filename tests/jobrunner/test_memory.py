"""How much memory pictures may take at once: asked for before decoding, granted in turn, and enough."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image, ImageChops

from imagebatch.options import Compression
from imagebatch_jobrunner.codec.command import ENVIRONMENT
from imagebatch_jobrunner.codec.memory_budget import MemoryBudget
from imagebatch_jobrunner.codec.pool import CodecPool
from imagebatch_jobrunner.decoder import memory, pixels, probe
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.limits import CodecLimits, PictureLimits
from imagebatch_testing import jpegs, natural

pytestmark = pytest.mark.anyio

Encode = Callable[..., bytes]
MIB = 1 << 20


def needed(data: bytes, **options: Any) -> int:
    _, source = probe.open_source(data, PictureLimits())
    return memory.decoding(source, Compression(**options))


def test_the_need_counts_pixels_frames_and_what_the_encoder_takes(encode: Encode) -> None:
    size = (3000, 2000)
    opaque, clear = Image.new("RGB", size), Image.new("RGBA", size)
    others = [Image.new("RGB", size, colour) for colour in ("red", "blue", "white")]
    jpeg, png = encode(opaque, "JPEG"), encode(clear, "PNG", compress_level=1)
    moving = encode(opaque, "GIF", save_all=True, append_images=others)
    assert 3000 * 2000 * 11 < needed(jpeg) < 3000 * 2000 * 22
    assert needed(moving) > 3 * needed(jpeg)
    assert needed(png) > 2 * needed(jpeg)
    assert needed(png, max_width=50) < needed(png)
    assert needed(jpeg, format="avif") > needed(jpeg) + 3000 * 2000 * 20


async def test_a_budget_lets_in_what_fits_in_the_order_of_asking() -> None:
    budget, order = MemoryBudget(100), list[str]()
    first_is_in, first_may_end = asyncio.Event(), asyncio.Event()

    async def use(name: str, size: int, until: asyncio.Event | None = None) -> None:
        async with budget.grant(size):
            order.append(name)
            first_is_in.set()
            assert budget.used <= 100 or budget.used == size
            if until is not None:
                await until.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(use("first", 60, first_may_end))
        group.create_task(use("huge", 500))
        group.create_task(use("small", 1))
        await first_is_in.wait()
        assert budget.used == 60
        first_may_end.set()
    assert order == ["first", "huge", "small"]
    assert budget.used == 0


async def test_a_cancelled_wait_leaves_the_budget_to_others() -> None:
    budget = MemoryBudget(10)
    async with budget.grant(10):
        waiting = asyncio.create_task(budget.grant(5).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with budget.grant(10):
        assert budget.used == 10


async def test_pictures_wait_for_memory_and_their_wait_is_not_their_time(encode: Encode) -> None:
    data = encode(Image.effect_noise((600, 600), 60).convert("RGB"), "JPEG", quality=95)
    limits = CodecLimits(processes=2, seconds=20.0, memory_bytes=1 << 30, picture_bytes=1)
    async with CodecPool(limits, PictureLimits()) as pool:
        results = await asyncio.gather(*(pool.compress(data, Compression()) for _ in range(6)))
    assert len({result.data for result in results}) == 1


MEASURED = """
import json
import sys
from imagebatch.options import Compression
from imagebatch_jobrunner.decoder import memory
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.limits import PictureLimits
from PIL import Image
options = Compression(format=sys.argv[1], **json.loads(sys.argv[4]))
small = open(sys.argv[3], "rb").read()
compress_image(small, options, PictureLimits())  # what the codecs take once
def memory_bytes(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) * 1024
needs = []
data = open(sys.argv[2], "rb").read()
open("/proc/self/clear_refs", "w").write("5")  # forget the peak
before = memory_bytes("VmRSS")
compress_image(data, options, PictureLimits(), needs.append)
print(memory_bytes("VmHWM") - before, needs[-1])
"""


@pytest.mark.parametrize(
    ("mode", "output", "megapixels"), [("RGB", "jpeg", 64), ("RGBA", "webp", 52), ("RGB", "avif", 55)]
)
def test_the_documented_sizes_fit_and_hardly_more_do(
    encode: Encode, mode: str, output: Any, megapixels: int
) -> None:
    """By default, of what one picture may take; by the header of a small one, whose size is replaced."""
    _, source = probe.open_source(encode(Image.new(mode, (9, 9)), "PNG"), PictureLimits())
    needs = [
        memory.decoding(replace(source, width=1_000_000, height=count), Compression(format=output))
        for count in (megapixels, megapixels + 1)
    ]
    assert needs[0] <= PictureLimits().memory_bytes
    assert output == "jpeg" or needs[1] > PictureLimits().memory_bytes


@pytest.mark.parametrize(
    ("mode", "stored", "output"),
    [
        ("RGB", "JPEG", "jpeg"), ("RGB", "JPEG", "webp"), ("CMYK", "JPEG", "jpeg"), ("L", "JPEG", "avif"),
        ("RGBA", "PNG", "webp"), ("I;16", "PNG", "jpeg"), ("P", "PNG", "png"), ("RGB", "WEBP", "jpeg"),
        ("RGB", "AVIF", "jpeg"), ("RGBA", "TIFF", "webp"), ("RGBA", "WEBP", "webp"), ("RGBA", "WEBP", "avif"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [(1200, 1000), (4000, 3000)], ids=["1 MP", "12 MP"])
def test_a_picture_takes_no_more_memory_than_it_asked_for(
    tmp_path: Any,
    encode: Encode,
    mode: str,
    stored: str,
    output: str,
    size: tuple[int, int],
) -> None:
    """In a process of its own."""
    noise = Image.effect_noise((500, 500), 40).resize(size, Image.Resampling.NEAREST)
    rgb = Image.merge("RGB", (noise, noise.rotate(180), noise.transpose(Image.Transpose.FLIP_LEFT_RIGHT)))
    if mode == "RGBA":
        rgb.putalpha(noise)
    picture = rgb if rgb.mode == mode else rgb.quantize(16) if mode == "P" else rgb.convert("L").convert(mode)
    extra = {"compress_level": 1} if stored == "PNG" else {"method": 0} if stored == "WEBP" else {}
    extra = {"speed": 10} if stored == "AVIF" else extra
    grown, asked = measured(
        tmp_path,
        encode(picture, stored, **extra),
        encode(picture.resize((200, 150)), stored, **extra),
        output,
    )
    assert grown <= asked
    assert grown > asked / 20  # else the estimate is no estimate


@pytest.mark.skipif(not jpegs.HAS_REQUANTISER, reason="Pillow decodes all pixels")
@pytest.mark.parametrize(("width", "times"), [(6000, 8), (16000, 24)], ids=["24 MP", "192 MP"])
def test_a_large_baseline_jpeg_takes_no_memory_for_its_pixels(
    tmp_path: Any, encode: Encode, width: int, times: int
) -> None:
    """Beside its own bytes, once as they come and once as they go; of 24 megapixels with these."""
    data, small = large(width, times), encode(natural.drawn(1, (200, 150)), "JPEG")
    grown, asked = measured(tmp_path, data, small, "jpeg")
    made = compress_image(data, Compression(), PictureLimits())
    assert made.notes == ("requantised",)
    assert grown <= 20 * MIB + len(made.data)
    assert width > 6000 or grown + len(data) <= 20 * MIB
    assert grown <= asked


@pytest.mark.skipif(not pixels.is_available(), reason="Pillow resizes, and copies")
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("stored", "mode"), [("JPEG", "RGB"), ("PNG", "RGBA"), ("PNG", "L")])
@pytest.mark.parametrize("max_width", [3900, 500])
def test_a_picture_made_smaller_takes_no_more_memory_than_it_asked_for(
    tmp_path: Any, encode: Encode, stored: str, mode: str, orientation: int, max_width: int
) -> None:
    """Also where it is turned first: two of it are there then, and the smaller one."""
    noise = Image.effect_noise((500, 500), 40).resize((4000, 4000), Image.Resampling.NEAREST)
    picture = Image.merge("RGBA", (noise, noise.rotate(180), noise, noise)).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    extra = {"compress_level": 1} if stored == "PNG" else {}
    data = encode(picture, stored, exif=exif, **extra)
    small = encode(picture.resize((200, 150)), stored, **extra)
    output = "webp" if mode == "RGBA" else "jpeg"
    grown, asked = measured(tmp_path, data, small, output, max_width=max_width)
    assert grown <= asked


def large(width: int, times: int) -> bytes:
    """Of as much detail as a photograph: a third of a byte a pixel at quality 90."""
    strip = natural.drawn(1, (width, 496))
    noise = Image.effect_noise(strip.size, 9).convert("RGB")
    return jpegs.repeated(ImageChops.add(strip, noise, offset=-128), times, quality=90)


@pytest.mark.skipif(not jpegs.HAS_REQUANTISER, reason="Pillow decodes all pixels")
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("stored_progressive", [False, True])
@pytest.mark.parametrize("progressive", [False, True])
def test_coefficients_that_are_kept_take_what_was_asked_for(
    tmp_path: Any, encode: Encode, orientation: int, stored_progressive: bool, progressive: bool
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture, options = natural.drawn(1, (3200, 2400)), {"exif": exif, "progressive": stored_progressive}
    data, small = encode(picture, "JPEG", quality=90, **options), encode(picture.reduce(16), "JPEG")
    grown, asked = measured(tmp_path, data, small, "jpeg", progressive=progressive)
    assert asked / 20 < grown <= asked


@pytest.mark.parametrize(("stored", "output"), [("GIF", "webp"), ("WEBP", "webp"), ("PNG", "avif")])
@pytest.mark.parametrize("frames", [3, 12])
def test_an_animation_takes_no_more_memory_than_it_asked_for(
    tmp_path: Any, encode: Encode, stored: str, output: str, frames: int
) -> None:
    noise = Image.effect_noise((1000, 800), 40)
    turned = [noise.rotate(90 * number + 7 * number) for number in range(frames)]
    pictures = [Image.merge("RGBA", (each, each.rotate(180), noise, each)) for each in turned]
    extra = {"method": 0} if stored == "WEBP" else {"compress_level": 1} if stored == "PNG" else {}
    first, *others = pictures
    data = encode(first, stored, save_all=True, append_images=others, duration=40, **extra)
    small = encode(Image.new("RGBA", (9, 9)), stored)
    grown, asked = measured(tmp_path, data, small, output)
    assert asked / 20 < grown <= asked


def measured(place: Any, data: bytes, small: bytes, output: str, **options: Any) -> tuple[int, int]:
    """What compressing it took, and what it asked for, bytes; as a codec process, after a small picture."""
    (place / "large").write_bytes(data)
    (place / "small").write_bytes(small)
    answer = subprocess.run(
        [
            sys.executable, "-W", "ignore", "-c", MEASURED, output, place / "large", place / "small",
            json.dumps(options),
        ],
        check=True, capture_output=True, timeout=120, env=ENVIRONMENT,
    )  # fmt: skip
    grown, asked = (int(number) for number in answer.stdout.split())
    return grown, asked
