"""`compress_image`: what comes out for what goes in."""

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, ImageCms, ImageSequence, PngImagePlugin

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.decoder import strip
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.decoder.recognise import recognise
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits
from imagebatch_testing import jpegs
from imagebatch_testing.jpegs import opened

Encode = Callable[..., bytes]

TURNED_FOR = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How an upright picture has to lie in the file for each EXIF orientation."""


def compress(data: bytes, **options: Any) -> Compressed:
    return compress_image(data, Compression(**options), PictureLimits())


def error_of(data: bytes, limits: PictureLimits | None = None) -> CodecError:
    with pytest.raises(CodecError) as caught:
        compress_image(data, Compression(), limits or PictureLimits())
    return caught.value


def lying(image: Image.Image, orientation: int) -> Image.Image:
    turn = TURNED_FOR[orientation]
    return image if turn is None else image.transpose(turn)


def exif(orientation: int, artist: str = "Somebody") -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    block[0x013B] = artist
    return block


def shown(data: bytes) -> Image.Image:
    """The picture as a browser shows it: turned by its EXIF orientation."""
    image = opened(data)
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(image.getexif().get(0x0112, 1))
    return image if turn is None else image.transpose(turn)


def corner_colours(image: Image.Image) -> list[tuple[int, ...]]:
    rgb = image.convert("RGB")
    right, bottom = rgb.width - 5, rgb.height - 5
    pixels = [rgb.getpixel(place) for place in ((4, 4), (right, 4), (4, bottom), (right, bottom))]
    return [pixel for pixel in pixels if isinstance(pixel, tuple)]


def assert_same_corners(image: Image.Image, expected: Image.Image) -> None:
    assert image.size == expected.size
    pairs = zip(corner_colours(image), corner_colours(expected), strict=True)
    assert all(
        abs(one - other) < 40 for pixel, wanted in pairs for one, other in zip(pixel, wanted, strict=True)
    )


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP"])
def test_every_orientation_comes_out_upright(
    corners: Image.Image, encode: Encode, source: str, orientation: int
) -> None:
    data = encode(lying(corners, orientation), source, quality=95, exif=exif(orientation))
    result = compress(data, format="jpeg", quality="90")
    assert (result.width, result.height) == corners.size
    assert_same_corners(opened(result.data), corners)
    assert not opened(result.data).getexif()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_kept_jpeg_is_shown_upright(corners: Image.Image, encode: Encode, orientation: int) -> None:
    data = encode(lying(corners, orientation), "JPEG", quality=20, exif=exif(orientation))
    result = compress(data)
    assert result.notes == ("already_compressed",)
    assert result.quality is None
    assert (result.width, result.height) == corners.size
    assert_same_corners(shown(result.data), corners)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP"])
def test_of_stripped_metadata_only_the_orientation_is_left(
    corners: Image.Image, encode: Encode, source: str, orientation: int
) -> None:
    data = encode(lying(corners, orientation), source, exif=exif(orientation), xmp=b"<x>Somebody</x>")
    bare = strip.stripped(data, recognise(data), orientation)
    assert len(bare) <= len(data)
    assert b"Somebody" not in bare
    assert opened(bare).tobytes() == opened(data).tobytes()
    assert dict(opened(bare).getexif()) == ({0x0112: orientation} if orientation > 1 else {})


def test_metadata_is_kept_when_asked_for_and_says_upright(photo: Image.Image, encode: Encode) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r tiff:Orientation="6" dc:title="Chair"/></x:xmpmeta>'
    data = encode(photo, "JPEG", quality=99, exif=exif(6), xmp=xmp)
    for wanted in ("jpeg", "webp", "png", "avif"):
        image = opened(compress(data, format=wanted, strip_metadata=False).data)
        assert image.getexif().get(0x0112, 1) == 1
        assert image.getexif()[0x013B] == "Somebody"
        kept = image.info.get("xmp") or image.info["XML:com.adobe.xmp"].encode()
        assert b"Chair" in kept
        assert b"tiff:Orientation" not in kept


def test_metadata_too_long_for_the_format_is_dropped_with_a_note(photo: Image.Image, encode: Encode) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", "<x>" + "long " * 20_000 + "</x>")
    result = compress(encode(photo, "PNG", pnginfo=text), strip_metadata=False)
    assert result.notes == ("metadata_dropped",)


# Quality


def test_half_the_quality_of_the_source_is_taken(photo: Image.Image, encode: Encode) -> None:
    result = compress(encode(photo, "JPEG", quality=90))
    assert (result.source_quality, result.quality_basis, result.quality) == (90, "exact", 45)
    assert compress(result.data, min_quality=1).source_quality == pytest.approx(45, abs=8)


@pytest.mark.parametrize(
    ("source", "options", "expected"),
    [
        (90, {}, 45),
        (50, {}, 30),
        (50, {"min_quality": 0}, 25),
        (80, {"quality": "100%", "min_quality": 0, "max_width": 100}, 80),
        (80, {"quality": "60"}, 60),
        (31, {}, 30),
        (30, {}, None),
        (12, {}, None),
        (12, {"min_quality": 0}, 6),
        (80, {"quality": "90"}, None),
    ],
)
def test_quality_table(
    photo: Image.Image, encode: Encode, source: int, options: dict[str, Any], expected: int | None
) -> None:
    result = compress(encode(photo, "JPEG", quality=source), **options)
    assert result.quality == expected
    assert ("already_compressed" in result.notes) == (expected is None)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_chroma_subsampling_of_a_jpeg_is_kept(photo: Image.Image, encode: Encode, subsampling: int) -> None:
    from PIL import JpegImagePlugin  # noqa: PLC0415

    result = compress(encode(photo, "JPEG", quality=90, subsampling=subsampling))
    assert JpegImagePlugin.get_sampling(opened(result.data)) == subsampling


@pytest.mark.parametrize(
    ("source", "saved", "quality", "basis"),
    [
        ("PNG", {}, 100, "exact"),
        ("WEBP", {"lossless": True}, 100, "exact"),
        ("WEBP", {}, 80, "assumed"),
        ("AVIF", {}, 80, "assumed"),
        ("JPEG", {"quality": 77}, 77, "exact"),
    ],
    ids=["png", "webp lossless", "webp", "avif", "jpeg"],
)
def test_source_quality_by_format(
    photo: Image.Image, encode: Encode, source: str, saved: dict[str, Any], quality: int, basis: str
) -> None:
    result = compress(encode(photo, source, **saved))
    assert (result.source_format, result.source_quality, result.quality_basis) == (
        source.lower(),
        quality,
        basis,
    )


# Format


def test_an_opaque_png_becomes_a_jpeg(photo: Image.Image, encode: Encode) -> None:
    opaque = photo.convert("RGBA")
    result = compress(encode(opaque, "PNG"))
    assert (result.format, result.quality) == ("jpeg", 50)
    assert opened(result.data).format == "JPEG"


def test_transparency_becomes_webp_and_stays(photo: Image.Image, encode: Encode) -> None:
    photo.putalpha(Image.radial_gradient("L").resize(photo.size))
    result = compress(encode(photo, "PNG"))
    assert result.format == "webp"
    alpha = opened(result.data).getchannel("A")
    assert alpha.tobytes() == photo.getchannel("A").tobytes()


@pytest.mark.parametrize("mode", ["P", "LA", "I;16", "1", "L", "RGB", "RGBA"])
@pytest.mark.parametrize("wanted", ["auto", "keep", "jpeg", "png", "webp", "avif"])
def test_every_png_mode_can_be_written_in_every_format(
    photo: Image.Image, encode: Encode, mode: str, wanted: str
) -> None:
    data = encode(photo.convert("L").convert(mode) if mode == "I;16" else photo.convert(mode), "PNG")
    result = compress(data, format=wanted, max_width=80)
    assert (result.width, result.height) == (80, 60)
    assert opened(result.data).size == (80, 60)


def test_sixteen_bit_grey_keeps_its_brightness(encode: Encode) -> None:
    data = encode(Image.new("I;16", (64, 64), 0x8080), "PNG")
    pixel = opened(compress(data, format="png").data).getpixel((5, 5))
    assert pixel == 0x80


def test_a_greyscale_source_stays_greyscale(photo: Image.Image, encode: Encode) -> None:
    result = compress(encode(photo.convert("L"), "JPEG", quality=95))
    assert opened(result.data).mode == "L"


def test_transparency_is_laid_on_white_for_jpeg(encode: Encode) -> None:
    result = compress(encode(Image.new("RGBA", (32, 32), (0, 0, 0, 0)), "PNG"), format="jpeg")
    assert opened(result.data).getpixel((9, 9)) == (255, 255, 255)
    assert result.notes == ("flattened",)


@pytest.mark.parametrize("wanted", ["auto", "keep", "avif", "png"])
def test_an_animation_keeps_frames_and_total_duration(
    photo: Image.Image, encode: Encode, wanted: str
) -> None:
    durations = [40, 70, 110, 200]
    frames = [photo.rotate(turn).quantize(32) for turn in (0, 20, 40, 60)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    result = compress(data, format=wanted)
    assert result.format == {"auto": "webp", "keep": "gif"}.get(wanted, wanted)
    with Image.open(io.BytesIO(result.data)) as image:
        found = [frame.info["duration"] for frame in ImageSequence.Iterator(image) if frame.load()]
    assert len(found) == 4
    assert sum(found) == sum(durations)


@pytest.mark.parametrize(
    ("repeats", "plays"), [(None, 1), (0, 0), (2, 3)], ids=["once", "for ever", "two more"]
)
def test_an_animation_is_played_as_often_as_before(
    photo: Image.Image, encode: Encode, repeats: int | None, plays: int
) -> None:
    frames = [photo.rotate(turn).quantize(32) for turn in (0, 30)]
    loop = {} if repeats is None else {"loop": repeats}
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50, **loop)
    result = compress(data, format="webp")
    assert opened(result.data).info["loop"] == plays


def test_the_first_frame_of_an_animation_makes_the_jpeg(photo: Image.Image, encode: Encode) -> None:
    frames = [photo, photo.rotate(30)]
    result = compress(
        encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=50), format="jpeg"
    )
    assert result.notes == ("first_frame",)


def test_of_a_multi_picture_jpeg_the_first_is_taken(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "MPO", save_all=True, append_images=[photo.rotate(90)], quality=90)
    result = compress(data)
    assert (result.source_format, result.format, result.source_quality) == ("jpeg", "jpeg", 90)
    assert result.notes == ("pages_dropped", *jpegs.NOTES)


# Colours


def test_an_icc_profile_is_kept(photo: Image.Image, encode: Encode) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for wanted in ("jpeg", "webp", "png", "avif"):
        result = compress(encode(photo, "JPEG", quality=95, icc_profile=profile), format=wanted)
        assert opened(result.data).info["icc_profile"] == profile
    kept = compress(encode(photo, "JPEG", quality=20, icc_profile=profile))
    assert opened(kept.data).info["icc_profile"] == profile


def test_cmyk_becomes_rgb_of_the_same_colours(corners: Image.Image, encode: Encode) -> None:
    corners = corners.resize((480, 320))
    data = encode(corners.convert("CMYK"), "JPEG", quality=95)
    result = compress(data, max_width=240)
    assert opened(result.data).mode == "RGB"
    assert_same_corners(opened(result.data), corners.resize((240, 160)))
    assert result.notes == ("colours_converted",)
    as_large = compress(data)
    assert_same_corners(opened(as_large.data).convert("RGB"), corners)
    stays = ("CMYK", jpegs.NOTES) if jpegs.HAS_REQUANTISER else ("RGB", ("colours_converted",))
    assert (opened(as_large.data).mode, as_large.notes) == stays


def test_a_profile_of_another_colour_space_is_not_kept(photo: Image.Image, encode: Encode) -> None:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"CMYK"
    result = compress(encode(photo, "PNG", icc_profile=bytes(profile)))
    assert "icc_profile" not in opened(result.data).info


# Size


@pytest.mark.parametrize("quality", [20, 60, 95])
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "TIFF", "ICO"])
@pytest.mark.parametrize("wanted", ["auto", "keep"])
def test_without_a_wish_for_size_or_format_nothing_grows(
    corners: Image.Image, encode: Encode, source: str, quality: int, wanted: str
) -> None:
    saved = {"quality": quality} if source in {"JPEG", "WEBP", "AVIF"} else {}
    data = encode(corners, source, **saved)
    assert len(compress(data, format=wanted, quality="95").data) <= len(data)


def test_images_are_made_smaller_in_proportion_and_never_larger(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "JPEG", quality=90)
    sizes = [
        (compress(data, **bounds).width, compress(data, **bounds).height)
        for bounds in (
            {"max_width": 80},
            {"max_height": 30},
            {"max_width": 40, "max_height": 90},
            {"max_width": 999},
        )
    ]
    assert sizes == [(80, 60), (40, 30), (40, 30), (160, 120)]


def test_size_bounds_mean_the_upright_picture(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo.resize((1200, 900)), "JPEG", quality=90, exif=exif(6))
    result = compress(data, max_height=120)
    assert (result.width, result.height) == (90, 120)


def test_the_same_bytes_and_options_give_the_same_bytes(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "PNG")
    for wanted in ("jpeg", "webp", "avif", "png"):
        assert compress(data, format=wanted).data == compress(data, format=wanted).data


def test_optimize_and_progressive_are_done_only_when_asked(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "JPEG", quality=95)
    plain = compress(data)
    assert "progressive" not in opened(plain.data).info
    assert opened(compress(data, progressive=True).data).info["progressive"]
    assert len(compress(data, format="webp", optimize=True).data) < len(compress(data, format="webp").data)


def test_detailed_little_pictures_can_be_optimised(encode: Encode) -> None:
    noise = Image.effect_noise((90, 90), 200).convert("RGB")
    assert compress(encode(noise, "PNG"), format="jpeg", quality="100", optimize=True, progressive=True).data


# Stripping


def test_bytes_after_the_end_comments_and_thumbnails_are_dropped(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "JPEG", quality=20, comment=b"call me") + b"HIDDEN TRAILER" * 50
    kept = compress(data)
    assert kept.notes == ("already_compressed",)
    assert b"HIDDEN" not in kept.data
    assert b"call me" not in kept.data
    assert kept.data.endswith(b"\xff\xd9")


def test_text_and_time_of_a_kept_png_are_dropped(encode: Encode) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", "Somebody")
    text.add_itxt("XML:com.adobe.xmp", "<x>Somewhere</x>")
    data = encode(Image.new("RGB", (64, 64), "red").quantize(2), "PNG", pnginfo=text)
    kept = compress(data)
    assert kept.notes == ("kept_original",)
    assert b"Some" not in kept.data
    assert opened(kept.data).convert("RGB").getpixel((3, 3)) == (255, 0, 0)


def test_a_kept_gif_loses_its_comment_and_goes_on_moving(photo: Image.Image, encode: Encode) -> None:
    frames = [photo.rotate(turn).quantize(2) for turn in (0, 90)]
    data = encode(
        frames[0],
        "GIF",
        save_all=True,
        append_images=frames[1:],
        duration=50,
        loop=0,
        comment=b"Somebody" * 40,
    )
    kept = compress(data, format="keep")
    assert b"Somebody" not in kept.data
    image = opened(kept.data)
    assert (image.n_frames, image.info["loop"]) == (2, 0)  # type: ignore[attr-defined]


def test_a_kept_avif_tells_nothing(corners: Image.Image, encode: Encode) -> None:
    data = encode(
        lying(corners, 6), "AVIF", quality=40, exif=exif(6, "Somebody" * 9), xmp=b"<x>Somewhere far away</x>"
    )
    kept = compress(data, format="keep", quality="100%")
    assert kept.notes == ("already_compressed",)
    assert b"Some" not in kept.data
    assert_same_corners(shown(kept.data), corners)


# Refusals


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"", ErrorCode.EMPTY_FILE, "no bytes"),
        (b"<!DOCTYPE html><title>Sign in</title>", ErrorCode.NOT_AN_IMAGE, "an HTML page"),
        (b"\xef\xbb\xbf\n <!-- hm --><html>", ErrorCode.NOT_AN_IMAGE, "an HTML page"),
        (b'{"error": "no"}', ErrorCode.NOT_AN_IMAGE, "a JSON document"),
        (b"<?xml version='1.0'?><Error/>", ErrorCode.NOT_AN_IMAGE, "an XML document"),
        (b"PK\3\4...", ErrorCode.NOT_AN_IMAGE, "a ZIP archive"),
        (b"\0\0\0\x18ftypmp42....isom", ErrorCode.NOT_AN_IMAGE, "a video"),
        (b"just words", ErrorCode.NOT_AN_IMAGE, "not an image"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x">', ErrorCode.UNSUPPORTED_FORMAT, "an SVG drawing"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ErrorCode.CORRUPT, ""),
        (b"%PDF-1.7", ErrorCode.UNSUPPORTED_FORMAT, "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF", ErrorCode.UNSUPPORTED_FORMAT, "an EPS drawing"),
        (b"\xff\x0a\0\0", ErrorCode.UNSUPPORTED_FORMAT, "a JPEG XL picture"),
        (b"\x89PNG\r\n\x1a\nnothing", ErrorCode.CORRUPT, ""),
    ],
)
def test_what_is_no_picture_is_called_by_its_name(data: bytes, code: ErrorCode, says: str) -> None:
    error = error_of(data)
    assert error.code == code
    assert says in error.message


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("part", [0.5, 0.9])
def test_half_a_picture_is_never_taken_for_a_whole(
    photo: Image.Image, encode: Encode, source: str, part: float
) -> None:
    data = encode(photo, source)
    assert error_of(data[: int(len(data) * part)]).code == ErrorCode.TRUNCATED


def test_a_cut_animation_is_truncated_too(photo: Image.Image, encode: Encode) -> None:
    frames = [photo.rotate(turn).quantize(32) for turn in (0, 20, 40, 60)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    assert error_of(data[: len(data) * 5 // 8]).code == ErrorCode.TRUNCATED


def test_damaged_data_is_corrupt(photo: Image.Image, encode: Encode) -> None:
    data = bytearray(encode(photo, "PNG"))
    data[len(data) // 2] ^= 0xFF
    assert error_of(bytes(data)).code == ErrorCode.CORRUPT


def test_a_bomb_is_refused_by_its_header() -> None:
    ihdr = b"IHDR" + (30_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    from zlib import crc32  # noqa: PLC0415

    head = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x0d" + ihdr + crc32(ihdr).to_bytes(4, "big")
    assert error_of(head + b"\0\0\0\0IDAT").code == ErrorCode.TOO_MANY_PIXELS


@pytest.mark.parametrize("side", [100, 75, 71])
def test_the_limit_of_pixels_is_exact(encode: Encode, side: int) -> None:
    data = encode(Image.new("RGB", (side, 100)), "PNG")
    assert error_of(data, PictureLimits(max_pixels=side * 100 - 1)).code == ErrorCode.TOO_MANY_PIXELS
    assert compress_image(data, Compression(), PictureLimits(max_pixels=side * 100)).width == side


def test_frames_and_the_pixels_of_all_frames_are_limited(photo: Image.Image, encode: Encode) -> None:
    frames = [photo.rotate(turn).quantize(8) for turn in range(5)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    assert error_of(data, PictureLimits(max_frames=4)).code == ErrorCode.TOO_MANY_FRAMES
    error = error_of(data, PictureLimits(max_animation_pixels=5 * 160 * 120 - 1))
    assert error.code == ErrorCode.TOO_MANY_PIXELS
    assert "5 frames of 160 x 120" in error.message
    limits = PictureLimits(max_pixels=160 * 120, max_animation_pixels=5 * 160 * 120)
    assert compress_image(data, Compression(), limits).width == 160


def test_a_picture_that_takes_more_memory_than_there_is_for_all_is_refused(
    photo: Image.Image, encode: Encode
) -> None:
    error = error_of(encode(photo, "JPEG"), PictureLimits(memory_bytes=1 << 20))
    assert error.code == ErrorCode.TOO_MANY_PIXELS
    assert "IMAGEBATCH_PICTURE_BYTES_IN_FLIGHT" in error.message


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_picture_too_long_for_the_chosen_format_is_kept(mode: str, encode: Encode) -> None:
    data = encode(Image.new(mode, (70_000, 2)), "PNG")
    kept = compress(data)
    assert (kept.format, kept.notes, opened(kept.data).size) == ("png", ("kept_original",), (70_000, 2))


@pytest.mark.parametrize("size", [(8160, 6144), (8192, 6144), (8000, 8000)])
def test_what_50_megapixel_cameras_make_is_within_the_limit(encode: Encode, size: tuple[int, int]) -> None:
    result = compress(encode(Image.new("RGB", size, (200, 40, 90)), "JPEG", quality=90), max_width=400)
    assert result.width == 400


@pytest.mark.parametrize(
    ("stored", "says"),
    [("PNG", "8000 x 8001 pixels; the limit is 64000000"), ("WEBP", "the limit is 64000000")],
)
def test_a_larger_picture_is_told_its_size_and_the_limit(encode: Encode, stored: str, says: str) -> None:
    """Also by a decoder that refuses it before its size is known."""
    image = Image.new("L", (8000, 8001)) if stored == "PNG" else Image.new("RGB", (16_000, 4001))
    error = error_of(encode(image, stored))
    assert error.code == ErrorCode.TOO_MANY_PIXELS
    assert says in error.message
    assert re.search("[0-9]+( x [0-9]+)? pixels", error.message)
