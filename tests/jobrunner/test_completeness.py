"""A file that lacks its end is an error in every format, never half a picture."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.decoder.containers import jpeg_segments
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits

Encode = Callable[..., bytes]

WRITTEN: dict[str, dict[str, Any]] = {
    "jpeg": {"pillow_format": "JPEG", "quality": 90},
    "progressive jpeg": {"pillow_format": "JPEG", "quality": 90, "progressive": True},
    "png": {"pillow_format": "PNG"},
    "webp": {"pillow_format": "WEBP"},
    "lossless webp": {"pillow_format": "WEBP", "lossless": True},
    "gif": {"pillow_format": "GIF"},
    "avif": {"pillow_format": "AVIF"},
    "bmp": {"pillow_format": "BMP"},
    "raw tiff": {"pillow_format": "TIFF"},
    "lzw tiff": {"pillow_format": "TIFF", "compression": "tiff_lzw"},
    "jpeg in tiff": {"pillow_format": "TIFF", "compression": "jpeg"},
    "ico": {"pillow_format": "ICO", "sizes": [(64, 64)]},
}
MOVING = ("GIF", "WEBP", "PNG", "AVIF")


def code_of(data: bytes) -> ErrorCode | None:
    try:
        compress_image(data, Compression(), PictureLimits())
    except CodecError as error:
        return error.code
    return None


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("kind", WRITTEN)
def test_a_cut_file_is_truncated(photo: Image.Image, encode: Encode, kind: str, part: float) -> None:
    data = encode(photo, **WRITTEN[kind])
    assert code_of(data) is None
    assert code_of(data[: int(len(data) * part)]) in {ErrorCode.TRUNCATED, ErrorCode.CORRUPT}


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif", "bmp", "raw tiff", "lzw tiff"])
def test_and_is_called_so(photo: Image.Image, encode: Encode, kind: str) -> None:
    data = encode(photo, **WRITTEN[kind])
    assert code_of(data[: len(data) * 7 // 10]) == ErrorCode.TRUNCATED


@pytest.mark.parametrize("pillow_format", MOVING)
def test_a_cut_animation_is_an_error(photo: Image.Image, encode: Encode, pillow_format: str) -> None:
    more = [photo.rotate(angle) for angle in (90, 180, 270)]
    data = encode(photo, pillow_format, save_all=True, append_images=more, duration=100)
    assert code_of(data) is None
    assert code_of(data[: len(data) * 7 // 10]) in {ErrorCode.TRUNCATED, ErrorCode.CORRUPT}


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_jpeg_whose_data_ends_early_is_truncated_though_it_has_an_end(
    photo: Image.Image, encode: Encode, mode: str, part: float
) -> None:
    data = encode(photo.convert(mode), "JPEG", quality=90)
    cut = data[: int(len(data) * part)].rstrip(b"\xff") + b"\xff\xd9"
    assert code_of(cut) == ErrorCode.TRUNCATED


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("number", [0, 1, -2], ids=["first", "second", "last but one"])
def test_a_progressive_jpeg_lacks_nothing_but_some_of_its_last_scan(
    photo: Image.Image, encode: Encode, mode: str, number: int
) -> None:
    data = encode(photo.convert(mode), "JPEG", quality=90, progressive=True)
    scans = [one for one in jpeg_segments.segments(data) if one.marker == jpeg_segments.SOS]
    cut = scans[number].end - len(scans[number].scan) // 2
    assert code_of(data[:cut].rstrip(b"\xff") + b"\xff\xd9") == ErrorCode.TRUNCATED


def test_an_end_marker_in_the_middle_of_a_scan_is_noticed(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "JPEG", quality=90)
    middle = len(data) // 2
    assert code_of(data[:middle] + b"\xff\xd9" + data[middle + 2 :]) == ErrorCode.TRUNCATED


@pytest.mark.parametrize("restart", [0, 3], ids=["one piece", "restart markers"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_whole_jpeg_that_ends_in_grey_is_whole(encode: Encode, mode: str, restart: int) -> None:
    grey = Image.new("RGB", (61, 45), (128, 128, 128)).convert(mode)
    for options in ({}, {"progressive": True}, {"subsampling": 0}):
        assert code_of(encode(grey, "JPEG", quality=92, restart_marker_blocks=restart, **options)) is None


def test_a_grey_picture_without_most_of_its_data_is_noticed(encode: Encode) -> None:
    data = encode(Image.linear_gradient("L").resize((256, 256)).rotate(180), "JPEG", quality=95)
    assert code_of(data[: len(data) // 2] + b"\xff\xd9") == ErrorCode.TRUNCATED


def test_scans_and_segments_are_found_as_they_were_written(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "JPEG", progressive=True, comment=b"a chair", restart_marker_blocks=2)
    found = list(jpeg_segments.segments(data))
    assert [one.content for one in found if one.marker == 0xFE] == [b"a chair"]
    scans = [one for one in found if one.marker == jpeg_segments.SOS]
    assert len(scans) > 3
    assert data[scans[-1].end :] == b"\xff\xd9"
    assert b"\xff\xd0" in bytes(scans[0].scan)


def test_sizes_from_one_pixel_on(encode: Encode) -> None:
    for size in [(1, 1), (1, 300), (300, 1), (2, 3), (7, 9), (17, 16)]:
        for pillow_format in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"):
            data = encode(Image.new("RGB", size, (200, 40, 90)), pillow_format)
            result = compress_image(data, Compression(format="jpeg"), PictureLimits())
            with Image.open(io.BytesIO(result.data)) as image:
                assert image.size == size


SHAPES: dict[str, dict[str, Any]] = {
    "whole": {},
    "restart markers": {"restart_marker_blocks": 3},
    "progressive": {"progressive": True},
}


def without_end(data: bytes) -> bytes:
    assert data.endswith(b"\xff\xd9")
    return data[:-2]


@pytest.mark.parametrize("tail", [b"", b"\xff", b"\xff\xff"], ids=["none", "half a marker", "filling"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_that_lacks_only_its_end_marker_is_whole(
    photo: Image.Image, encode: Encode, mode: str, shape: str, tail: bytes
) -> None:
    data = encode(photo.convert(mode), "JPEG", quality=90, **SHAPES[shape])
    for options in (Compression(), Compression(max_width=40)):
        whole = compress_image(data, options, PictureLimits())
        found = compress_image(without_end(data) + tail, options, PictureLimits())
        assert found == whole


@pytest.mark.parametrize("lost", [1, 2, 3, 10, 100, 400, 700])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_that_is_cut_is_truncated(
    photo: Image.Image, encode: Encode, mode: str, shape: str, lost: int
) -> None:
    """The last few bytes of a progressive one may change no pixel."""
    data = without_end(encode(photo.convert(mode), "JPEG", quality=90, **SHAPES[shape]))
    lost *= 4 if shape == "progressive" else 1
    assert code_of(data[:-lost]) == ErrorCode.TRUNCATED


def test_a_jpeg_without_its_last_scan_is_truncated(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "JPEG", quality=90, progressive=True)
    scans = [one for one in jpeg_segments.segments(data) if one.marker == jpeg_segments.SOS]
    for scan in scans[:-1]:
        assert code_of(data[: scan.end]) == ErrorCode.TRUNCATED


def test_a_kept_jpeg_without_end_gets_one_and_no_longer(photo: Image.Image, encode: Encode) -> None:
    data = without_end(encode(photo, "JPEG", quality=20, comment=b"a chair"))
    kept = compress_image(data, Compression(), PictureLimits())
    assert kept.notes == ("already_compressed",)
    assert kept.data.endswith(b"\xff\xd9")
    assert len(kept.data) <= len(data)
