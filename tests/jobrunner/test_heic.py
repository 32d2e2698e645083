"""HEIC, the pictures of phones: what is particular to them. drawn_corpus has more of their kinds."""

import io

import pytest
from PIL import Image

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits
from imagebatch_testing.drawn_corpus import HEIC_FILES, SIZE, picture

ROOF, SUN = (100, 50), (165, 25)
"""Where the drawn picture is red, and where it is yellow."""


def compressed(kind: str, **options: object) -> Compressed:
    data = (HEIC_FILES / f"{kind}.heic").read_bytes()
    return compress_image(data, Compression.parse(options), PictureLimits())


def code_of(data: bytes) -> ErrorCode | None:
    try:
        compress_image(data, Compression(), PictureLimits())
    except CodecError as error:
        return error.code
    return None


def opened(found: Compressed) -> Image.Image:
    return Image.open(io.BytesIO(found.data)).convert("RGB")


def near(one: tuple[int, ...], other: tuple[int, ...], most: int) -> bool:
    return all(abs(a - b) <= most for a, b in zip(one, other, strict=True))


def colour_at(image: Image.Image, place: tuple[int, int]) -> tuple[int, ...]:
    found = image.getpixel(place)
    assert isinstance(found, tuple)
    return found


@pytest.mark.parametrize("kind", ["picture", "turned", "deep", "two"])
def test_a_phones_picture_becomes_an_upright_jpeg(kind: str) -> None:
    found = compressed(kind)
    assert (found.source_format, found.format, found.width, found.height) == ("heic", "jpeg", *SIZE)
    assert (found.source_quality, found.quality_basis, found.quality) == (80, "assumed", 40)
    for place in (ROOF, SUN):
        assert near(colour_at(opened(found), place), colour_at(picture(), place), 24)


def test_a_transparent_one_becomes_webp() -> None:
    assert compressed("clear").format == "webp"


@pytest.mark.parametrize(
    ("kind", "notes"), [("picture", ()), ("deep", ("depth_reduced",)), ("two", ("pages_dropped",))]
)
def test_notes_say_what_was_left_out(kind: str, notes: tuple[str, ...]) -> None:
    assert compressed(kind).notes == notes


@pytest.mark.parametrize("options", [{}, {"format": "keep"}, {"quality": "100%"}, {"minQuality": "100"}])
def test_it_is_never_stored_as_it_is_for_browsers_do_not_show_it(options: dict[str, str]) -> None:
    assert compressed("picture", **options).format == "jpeg"


def test_colours_of_another_space_become_srgb() -> None:
    """The file has sRGB's numbers and says that they are Display P3's: its red is redder than sRGB's."""
    found = compressed("display p3")
    assert "colours_converted" in found.notes
    red, plain_red = (colour_at(opened(one), ROOF) for one in (found, compressed("picture")))
    assert red[0] > plain_red[0] + 5
    assert red[1] < plain_red[1]


def test_hdr_is_refused_by_its_name() -> None:
    with pytest.raises(CodecError, match="HDR") as caught:
        compressed("hdr")
    assert caught.value.code is ErrorCode.UNSUPPORTED_FORMAT


def test_metadata_that_are_kept_say_that_the_picture_is_upright() -> None:
    exif = Image.open(io.BytesIO(compressed("turned", stripMetadata="false").data)).getexif()
    assert (exif[0x010F], exif[0x0112]) == ("A phone", 1)
    assert not Image.open(io.BytesIO(compressed("turned").data)).getexif()


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_cut_file_is_truncated(part: float) -> None:
    data = (HEIC_FILES / "picture.heic").read_bytes()
    assert code_of(data[: int(len(data) * part)]) == ErrorCode.TRUNCATED


def test_a_file_over_the_limit_is_refused_before_it_is_decoded() -> None:
    data = (HEIC_FILES / "picture.heic").read_bytes()
    with pytest.raises(CodecError) as caught:
        compress_image(data, Compression(), PictureLimits(max_pixels=SIZE[0] * SIZE[1] - 1))
    assert caught.value.code is ErrorCode.TOO_MANY_PIXELS


@pytest.mark.parametrize("brand", [b"mif1", b"hevc", b"heix"])
def test_a_header_without_a_picture_is_corrupt(brand: bytes) -> None:
    assert code_of(b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic") == ErrorCode.CORRUPT
