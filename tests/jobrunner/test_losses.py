"""What a result drops of its source is told; and a file length that is aimed at."""

import io
import struct
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from imagebatch.options import Compression
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.limits import PictureLimits
from imagebatch_testing import jpegs
from imagebatch_testing.likeness import film, likeness

Encode = Callable[..., bytes]

ULTRA_HDR = b"http://ns.adobe.com/xap/1.0/\0<x xmlns:hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/' hdrgm:Version='1.0'/>"


def compress(data: bytes, **options: Any) -> Compressed:
    return compress_image(data, Compression(**options), PictureLimits())


def with_gain_map(primary: bytes, gain_map: bytes) -> bytes:
    """An Ultra HDR file: XMP that announces the map, and the map behind the picture's end."""
    segment = b"\xff\xe1" + struct.pack(">H", len(ULTRA_HDR) + 2) + ULTRA_HDR
    return primary[:2] + segment + primary[2:] + gain_map


@pytest.fixture
def ultra_hdr(photo: Image.Image, encode: Encode) -> Callable[[int], bytes]:
    def made(quality: int) -> bytes:
        primary = encode(photo, "JPEG", quality=quality)
        return with_gain_map(primary, encode(photo.convert("L").reduce(4), "JPEG", quality=quality))

    return made


def test_a_gain_map_that_is_dropped_is_told(ultra_hdr: Callable[[int], bytes]) -> None:
    assert compress(ultra_hdr(90)).notes == ("gain_map_dropped", *jpegs.NOTES)
    assert set(compress(ultra_hdr(20)).notes) == {"already_compressed", "gain_map_dropped"}


def test_a_gain_map_is_kept_with_the_picture_and_the_metadata(ultra_hdr: Callable[[int], bytes]) -> None:
    data = ultra_hdr(20)
    result = compress(data, strip_metadata=False)
    assert (result.data, result.notes) == (data, ("already_compressed",))


@pytest.mark.parametrize("kind", ["MPO", "TIFF", "ICO"])
def test_further_pages_are_told_and_the_first_is_taken(photo: Image.Image, encode: Encode, kind: str) -> None:
    small = photo.rotate(90).resize((40, 40))
    extra = {"sizes": [(16, 16), (48, 48)]} if kind == "ICO" else {"save_all": True, "append_images": [small]}
    data = encode(photo, kind, **extra)
    result = compress(data, format="jpeg")
    assert result.notes == ("pages_dropped", *(jpegs.NOTES if kind == "MPO" else ()))
    first = film(data)
    assert likeness(first, film(result.data)).colours < 6
    assert result.width == (48 if kind == "ICO" else 160)


def test_sixteen_bits_of_colour_are_told(encode: Encode) -> None:
    deep = Image.linear_gradient("L").convert("I;16")
    assert "depth_reduced" in compress(encode(deep, "PNG"), format="jpeg").notes


def test_a_deep_picture_keeps_its_transparent_value(encode: Encode) -> None:
    deep = Image.linear_gradient("L").convert("I").point(lambda value: value * 257).convert("I;16")
    data = encode(deep, "PNG", transparency=257 * 40)
    result = compress(data, format="webp")
    with Image.open(io.BytesIO(result.data)) as image:
        shades = image.convert("RGBA").getchannel("A")
    assert shades.getpixel((0, 40)) == 0
    assert shades.getpixel((0, 41)) == 255


def test_transparent_parts_of_an_animation_are_not_black(encode: Encode) -> None:
    frames = [Image.new("RGBA", (100, 50)) for _ in range(2)]
    frames[0].paste((255, 0, 0, 255), (0, 0, 50, 50))
    frames[1].paste((255, 0, 0, 255), (50, 0, 100, 50))
    for pillow_format in ("GIF", "WEBP", "PNG"):
        lossless = {"lossless": True} if pillow_format == "WEBP" else {}
        data = encode(
            frames[0],
            pillow_format,
            save_all=True,
            append_images=frames[1:],
            duration=500,
            disposal=2,
            **lossless,
        )
        result = compress(data, format="webp")
        found = likeness(film(data), film(result.data))
        assert film(data).total_ms == film(result.data).total_ms == 1000
        assert (found.colours < 3, found.alpha < 1) == (True, True), pillow_format


def test_an_animation_without_motion_is_kept_or_told(encode: Encode, photo: Image.Image) -> None:
    frame = photo.quantize(16)
    data = encode(frame, "PNG", save_all=True, append_images=[photo.rotate(1)], duration=300)
    assert film(data).total_ms == 600
    same = encode(Image.new("RGB", (64, 64), "red"), "PNG", save_all=True,
                  append_images=[Image.new("RGB", (64, 64), (254, 0, 0))], duration=300)  # fmt: skip
    kept = compress(same)
    assert film(kept.data).total_ms == 600
    assert "kept_original" in kept.notes
    assert compress(same, format="webp", max_width=32).notes[-1:] in {(), ("still",)}


# targetBytes


def test_the_quality_falls_until_the_target_is_met(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "JPEG", quality=95)
    free = compress(data)
    result = compress(data, target_bytes=len(free.data) - 200, min_quality=5)
    assert len(result.data) <= len(free.data) - 200
    assert free.quality is not None
    assert result.quality is not None
    assert result.quality < free.quality
    above = compress(data, quality=str(result.quality + 1))
    assert len(above.data) > len(free.data) - 200  # the highest quality that meets it
    assert result.notes == jpegs.NOTES


def test_a_target_does_not_raise_the_quality(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "JPEG", quality=95)
    assert compress(data, target_bytes=10_000_000) == compress(data)


@pytest.mark.parametrize("target", ["jpeg", "webp", "avif", "png"])
def test_a_target_out_of_reach_is_told(photo: Image.Image, encode: Encode, target: str) -> None:
    result = compress(encode(photo, "JPEG", quality=95), format=target, target_bytes=50)
    assert result.notes == (*(jpegs.NOTES if target == "jpeg" else ()), "target_missed")
    assert result.quality is None if target == "png" else result.quality in range(30, 36)


def test_a_compressed_source_over_the_target_is_tried(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "JPEG", quality=28)
    assert compress(data).notes == ("already_compressed",)
    result = compress(data, target_bytes=len(data) - 200, min_quality=5)
    assert len(result.data) <= len(data) - 200


# Frames


@pytest.mark.parametrize("duration", [0, 5, 10])
@pytest.mark.parametrize("stored", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize("wanted", ["webp", "png", "gif", "avif"])
def test_frames_without_a_duration_are_shown_as_long_as_browsers_do(
    photo: Image.Image, encode: Encode, stored: str, wanted: str, duration: int
) -> None:
    frames = [photo.rotate(turn).quantize(16).convert("RGB") for turn in (0, 90, 180)]
    data = encode(frames[0], stored, save_all=True, append_images=frames[1:], duration=duration)
    before, after = film(data), film(compress(data, format=wanted, max_width=80).data)
    assert len(after.frames) == 3
    assert before.total_ms == after.total_ms == 300


def test_other_durations_stay(photo: Image.Image, encode: Encode) -> None:
    frames = [photo.rotate(turn).quantize(16) for turn in (0, 90, 180)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=[20, 30, 700])
    assert film(compress(data, format="webp").data).total_ms == 750


@pytest.mark.parametrize("wanted", ["webp", "png", "gif", "avif"])
def test_equal_frames_add_their_durations(photo: Image.Image, encode: Encode, wanted: str) -> None:
    first, second = photo.quantize(16), photo.rotate(180).quantize(16)
    frames = [first, first, second, second, second]
    data = encode(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=[0, 50, 0, 0, 60])
    result = compress(data, format=wanted, max_width=80)
    after = film(result.data)
    assert after.total_ms == film(data).total_ms
    assert len(after.frames) >= 2


def test_two_frames_without_durations_are_two(encode: Encode) -> None:
    """As of a GIF in Pillow's collection, test_extents_transparency.gif."""
    frames = [Image.new("P", (1, 1)), Image.new("P", (1, 1))]
    frames[0].putpalette([255, 0, 0])
    frames[1].putpalette([0, 0, 255])
    data = encode(frames[0].convert("RGB").resize((40, 40)), "GIF", save_all=True,
                  append_images=[frames[1].convert("RGB").resize((40, 40))], duration=0)  # fmt: skip
    result = compress(data, format="webp")
    assert len(film(result.data).frames) == 2
    assert result.notes == ()


def test_an_animation_that_becomes_still_without_loss_is_told(encode: Encode) -> None:
    """Frames that look the same, in a file whose metadata can't be cut out: here with rubbish between its blocks."""
    red = encode(Image.new("RGB", (100, 100), "red").quantize(2), "GIF")
    result = compress(red[:-1] + b"rubbish" + red[13:])
    assert film(red[:-1] + b"rubbish" + red[13:]).total_ms == 200
    assert result.notes == ("lossless", "still")
