"""Files whose header a decoder does not take: damaged, of a rare kind, or only damaged where nobody needs it."""

import io
import struct
from collections.abc import Callable

import pytest
from PIL import Image, JpegImagePlugin, PngImagePlugin

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.decoder.containers import png_chunks
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import PictureLimits
from imagebatch_testing import jpegs
from imagebatch_testing.likeness import film, likeness

Encode = Callable[..., bytes]


def compress(data: bytes, **options: object) -> Compressed:
    return compress_image(data, Compression.parse(options), PictureLimits())


def refusal(data: bytes) -> CodecError:
    with pytest.raises(CodecError) as caught:
        compress(data)
    return caught.value


def tiff(photometric: int, bits: tuple[int, ...], compression: int, sample_format: int) -> bytes:
    """8 x 8 pixels, with values that are longer than an entry behind the directory."""
    entries: list[tuple[int, tuple[int, ...]]] = [
        (256, (8,)), (257, (8,)), (258, bits), (259, (compression,)), (262, (photometric,)), (273, (512,)),
        (277, (len(bits),)), (278, (8,)), (279, (8 * sum(bits),)), (339, (sample_format,) * len(bits)),
    ]  # fmt: skip
    behind, after = b"", 8 + 2 + 12 * len(entries) + 4
    directory = struct.pack("<H", len(entries))
    for tag, values in entries:
        packed = struct.pack(f"<{len(values)}H", *values)
        if len(packed) > 4:
            packed, behind = struct.pack("<I", after + len(behind)), behind + packed
        directory += struct.pack("<HHI4s", tag, 3, len(values), packed)
    head = b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + behind
    return head.ljust(512, b"\0") + bytes(8 * sum(bits))


def psd(bits: int) -> bytes:
    return b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 8, 8, bits, 3) + bytes(4096)


def test_a_tiff_of_whole_numbers_opens() -> None:
    assert compress(tiff(2, (8, 8, 8), 1, 1)).width == 8


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (tiff(2, (32, 32, 32), 1, 3), "TIFF of a rare kind: pixels of 32 + 32 + 32 bits, floating point"),
        (tiff(8, (16, 16, 16), 1, 1), "TIFF of a rare kind: pixels of 16 + 16 + 16 bits"),
        (tiff(2, (8, 8, 8), 50002, 1), "TIFF of a rare kind: compression 50002"),
        (psd(16), "PSD of a rare kind: 16 bits a channel"),
    ],
    ids=["float", "lab", "jpeg xl", "psd"],
)
def test_a_rare_kind_is_told_from_a_damaged_file(data: bytes, says: str) -> None:
    error = refusal(data)
    assert (error.code, error.message) == (ErrorCode.UNSUPPORTED_FORMAT, f"the file is {says}")


def test_a_jpeg_of_12_bits_is_of_a_rare_kind(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "JPEG").replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c")
    assert refusal(data).code == ErrorCode.UNSUPPORTED_FORMAT
    assert "12-bit" in refusal(data).message


def test_what_is_wrong_with_a_header_is_told(photo: Image.Image, encode: Encode) -> None:
    data = bytearray(encode(photo, "PNG"))
    data[20] ^= 1  # the width, under a checksum
    error = refusal(bytes(data))
    assert error.code == ErrorCode.CORRUPT
    assert "bad header checksum" in error.message


@pytest.mark.parametrize("options", [{}, {"format": "keep", "quality": "100"}, {"stripMetadata": False}])
def test_damage_in_what_nobody_needs_is_no_damage(
    photo: Image.Image, encode: Encode, options: dict[str, object]
) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a chair")
    data = encode(photo, "PNG", pnginfo=text, dpi=(72, 72)).replace(b"a chair", b"a choir")
    result = compress(data, **options)
    assert b"choir" not in result.data
    assert len(result.data) <= len(data)
    found = likeness(film(encode(photo, "PNG")), film(result.data), grounds=("white",))
    assert found.colours < 10
    kinds = [kind for kind, _ in png_chunks.chunks(png_chunks.without_damaged_extras(data))]
    assert b"pHYs" in kinds
    assert b"tEXt" not in kinds


def test_a_file_without_such_damage_is_left_as_it_is(photo: Image.Image, encode: Encode) -> None:
    data = encode(photo, "PNG")
    assert png_chunks.without_damaged_extras(data) is data
    assert png_chunks.without_damaged_extras(data[:-20]) == data[:-20]


def test_a_cmyk_jpeg_keeps_its_chroma(photo: Image.Image, encode: Encode) -> None:
    result = compress(encode(photo.convert("CMYK"), "JPEG", quality=95))
    with Image.open(io.BytesIO(result.data)) as image:
        assert image.mode == ("CMYK" if jpegs.HAS_REQUANTISER else "RGB")
        assert isinstance(image, JpegImagePlugin.JpegImageFile)
        assert {(across, down) for _, across, down, _ in image.layer} == {(1, 1)}
