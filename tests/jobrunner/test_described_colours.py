"""Colours that a file describes outside an ICC profile come out as sRGB, and the report says so."""

import io
import struct
import zlib
from collections.abc import Callable

import pytest
from PIL import Image, ImageChops, ImageCms, ImageStat

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits
from imagebatch_testing.colours import ADOBE, BT709, BT2020, P3, converted, power, srgb_light

Encode = Callable[..., bytes]


def compress(data: bytes, **options: object) -> Compressed:
    return compress_image(
        data, Compression.parse({"format": "png", "maxWidth": 9999, **options}), PictureLimits()
    )


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def gamma(value: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(value * 100_000)))


def chromaticities(points: tuple[float, ...]) -> bytes:
    ordered = (*points[6:], *points[:6])
    return chunk(b"cHRM", struct.pack(">8I", *(round(one * 100_000) for one in ordered)))


def cicp(primaries: int, transfer: int, full: int = 1) -> bytes:
    return chunk(b"cICP", bytes((primaries, transfer, 0, full)))


def profile() -> bytes:
    """An iCCP chunk of sRGB."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return chunk(b"iCCP", b"x\0\0" + zlib.compress(data))


SRGB = chunk(b"sRGB", b"\0")


def told(png: bytes, *chunks: bytes) -> bytes:
    """With these chunks after the header."""
    return png[:33] + b"".join(chunks) + png[33:]


@pytest.fixture
def bulky(encode: Encode) -> Encode:
    """`bulky(image)`: a PNG that any other one is shorter than, so that it is not kept."""
    return lambda image, **options: encode(image, "PNG", compress_level=0, **options)


@pytest.fixture
def picture() -> Image.Image:
    """Every mixture of 17 steps of red, green and blue, with some of them grey."""
    steps = [(r * 15, g * 15, b * 15) for r in range(18) for g in range(18) for b in range(18)]
    image = Image.new("RGB", (81, 72))
    image.putdata(steps)
    return image


def difference(one: Image.Image, other: Image.Image) -> float:
    assert one.size == other.size
    return max(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean)


def result_of(data: bytes, **options: object) -> tuple[Image.Image, tuple[str, ...]]:
    result = compress(data, **options)
    with Image.open(io.BytesIO(result.data)) as image:
        assert "icc_profile" not in image.info
        assert not {"gamma", "chromaticity"} & image.info.keys()
        return image.convert("RGBA" if image.mode in {"RGBA", "P"} else "RGB"), result.notes


TOLD = {
    "gamma 1.8": ([gamma(1 / 1.8)], BT709, power(1.8)),
    "gamma 1": ([gamma(1.0)], BT709, power(1.0)),
    "Adobe's primaries, gamma 2.2": ([gamma(1 / 2.2), chromaticities(ADOBE)], ADOBE, power(2.2)),
    "P3's primaries, gamma 1.8": ([gamma(1 / 1.8), chromaticities(P3)], P3, power(1.8)),
    "primaries alone": ([chromaticities(ADOBE)], ADOBE, srgb_light),
    "cICP P3": ([cicp(12, 13)], P3, srgb_light),
    "cICP BT.2020, gamma 2.2": ([cicp(9, 4)], BT2020, power(2.2)),
    "cICP linear": ([cicp(1, 8)], BT709, power(1.0)),
    "cICP wins over iCCP": ([profile(), cicp(12, 13)], P3, srgb_light),
    "cICP wins over sRGB": ([SRGB, gamma(1.0), cicp(12, 13)], P3, srgb_light),
    "cICP that is left open": ([cicp(2, 2), gamma(1 / 1.8)], BT709, power(1.8)),
}


@pytest.mark.parametrize("name", TOLD)
def test_described_colours_become_srgb(picture: Image.Image, bulky: Encode, name: str) -> None:
    chunks, primaries, light_of = TOLD[name]
    wanted = converted(picture, primaries, light_of)
    found, notes = result_of(told(bulky(picture), *chunks))
    assert difference(found, wanted) < 1.0
    assert difference(found, picture) > 3.0
    assert notes == ("colours_converted",)


@pytest.mark.parametrize(
    "chunks",
    [[SRGB], [SRGB, gamma(1.0)], [SRGB, chromaticities(ADOBE)], [gamma(0.45455)], [cicp(1, 13)], [cicp(1, 1)],
     [gamma(0.45455), chromaticities(BT709)], [gamma(0.0)], [chromaticities((0.0,) * 8)], [cicp(1, 13), gamma(1.0)]],
    ids=["sRGB", "sRGB over gAMA", "sRGB over cHRM", "usual gamma", "cICP sRGB", "cICP BT.709", "sRGB's own", "no gamma",
         "no primaries", "cICP sRGB over gAMA"],
)  # fmt: skip
def test_what_is_srgb_stays_as_it_is(picture: Image.Image, bulky: Encode, chunks: list[bytes]) -> None:
    found, notes = result_of(told(bulky(picture), *chunks))
    assert found.tobytes() == picture.tobytes()
    assert notes == ()


def test_a_profile_wins_over_gamma(picture: Image.Image, bulky: Encode) -> None:
    result = compress(told(bulky(picture), profile(), gamma(1.0)))
    with Image.open(io.BytesIO(result.data)) as image:
        assert image.tobytes() == picture.tobytes()
        assert image.info["icc_profile"]


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "I;16"])
def test_every_mode_is_converted_and_keeps_its_transparency(
    picture: Image.Image, bulky: Encode, mode: str
) -> None:
    image = picture.quantize(64) if mode == "P" else picture.convert("L" if mode == "I;16" else mode)
    if mode in {"LA", "RGBA"}:
        image.putalpha(Image.linear_gradient("L").resize(image.size))
    plain = image.convert("RGB")
    stored = image.convert("I").point(lambda value: value * 257).convert("I;16") if mode == "I;16" else image
    found, notes = result_of(told(bulky(stored), gamma(1 / 1.4), chromaticities(P3)))
    assert difference(found, converted(plain, P3, power(1.4))) < 1.5
    assert "colours_converted" in notes
    if mode in {"LA", "RGBA"}:
        assert found.getchannel("A").tobytes() == image.getchannel("A").tobytes()


def test_the_narrow_range_of_video_is_widened(picture: Image.Image, bulky: Encode) -> None:
    narrow = picture.point([round(16 + value * 219 / 255) for value in range(256)] * 3)
    found, notes = result_of(told(bulky(narrow), cicp(1, 13, full=0)))
    assert difference(found, picture) < 1.0
    assert notes == ("colours_converted",)


def test_every_frame_of_an_animation_is_converted(picture: Image.Image, bulky: Encode) -> None:
    frames = [picture, picture.rotate(180)]
    data = told(bulky(frames[0], save_all=True, append_images=frames[1:], duration=100), cicp(12, 13))
    result = compress(data)
    assert result.notes == ("colours_converted",)
    with Image.open(io.BytesIO(result.data)) as image:
        for number, frame in enumerate(frames):
            image.seek(number)
            assert difference(image.convert("RGB"), converted(frame, P3, srgb_light)) < 1.0


@pytest.mark.parametrize("wanted", ["jpeg", "webp", "avif", "keep"])
def test_no_format_brings_the_old_colours_back(picture: Image.Image, bulky: Encode, wanted: str) -> None:
    large = picture.resize((9, 8), Image.Resampling.BOX).resize((648, 576), Image.Resampling.BICUBIC)
    large = ImageChops.add(
        large,
        Image.merge(
            "RGB", (Image.linear_gradient("L").resize(large.size), *2 * [Image.new("L", large.size)])
        ),
    )
    found, _ = result_of(told(bulky(large), cicp(12, 13)), format=wanted, quality="95", maxWidth=324)
    wanted_picture = converted(large.resize((324, 288), Image.Resampling.LANCZOS), P3, srgb_light)
    assert difference(found.reduce(4), wanted_picture.reduce(4)) < 3.0
    assert difference(wanted_picture, large.resize((324, 288))) > 5.0


def test_a_picture_that_is_kept_keeps_what_describes_it(encode: Encode) -> None:
    data = told(encode(Image.new("RGB", (64, 64), (200, 40, 60)).quantize(2), "PNG"), cicp(12, 13))
    kept = compress_image(data, Compression(), PictureLimits())
    assert kept.notes == ("kept_original",)
    assert b"cICP" in kept.data


HDR = {16: "HDR (PQ)", 18: "HDR (HLG)"}


@pytest.mark.parametrize("transfer", HDR)
def test_hdr_is_refused_by_its_name(
    picture: Image.Image, encode: Encode, bulky: Encode, transfer: int
) -> None:
    for data in (told(bulky(picture), cicp(9, transfer)), nclx(encode(picture, "AVIF"), 9, transfer)):
        with pytest.raises(CodecError) as caught:
            compress(data)
        assert caught.value.code == ErrorCode.UNSUPPORTED_FORMAT
        assert HDR[transfer] in caught.value.message


@pytest.mark.parametrize("numbers", [(10, 13), (1, 9), (1, 17), (77, 13)])
def test_colours_that_are_not_known_are_refused(
    picture: Image.Image, bulky: Encode, numbers: tuple[int, int]
) -> None:
    with pytest.raises(CodecError, match=f"colour primaries {numbers[0]} with transfer {numbers[1]}"):
        compress(told(bulky(picture), cicp(*numbers)))


# AVIF


def nclx(avif: bytes, primaries: int, transfer: int) -> bytes:
    at = avif.index(b"colrnclx") + 8
    return avif[:at] + struct.pack(">HH", primaries, transfer) + avif[at + 4 :]


@pytest.mark.parametrize(
    ("numbers", "primaries", "light_of"),
    [((12, 13), P3, srgb_light), ((9, 1), BT2020, srgb_light), ((1, 8), BT709, power(1.0)), ((12, 4), P3, power(2.2))],
    ids=["P3", "BT.2020", "linear", "P3, gamma 2.2"],
)  # fmt: skip
def test_an_avif_of_other_colours_becomes_srgb(
    picture: Image.Image,
    encode: Encode,
    numbers: tuple[int, int],
    primaries: tuple[float, ...],
    light_of: Callable[[float], float],
) -> None:
    data = encode(picture, "AVIF", quality=100, subsampling="4:4:4")
    with Image.open(io.BytesIO(data)) as image:
        stored = image.convert("RGB")
    found, notes = result_of(nclx(data, *numbers))
    assert difference(found, converted(stored, primaries, light_of)) < 1.0
    assert notes == ("colours_converted",)


@pytest.mark.parametrize("numbers", [(1, 13), (2, 2), (1, 2), (1, 1)])
def test_an_avif_of_srgb_stays_as_it_is(
    picture: Image.Image, encode: Encode, numbers: tuple[int, int]
) -> None:
    data = nclx(encode(picture, "AVIF", quality=90), *numbers)
    assert compress(data).notes == ()


def test_the_profile_of_an_avif_wins(picture: Image.Image, encode: Encode) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert compress(encode(picture, "AVIF", quality=90, icc_profile=icc)).notes == ()
