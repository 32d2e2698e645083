"""PNGs whose filters are undone in Rust: they show what Pillow shows, and Pillow judges all that is unusual."""

import io
import os
import random
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import pytest
from PIL import Image, ImageChops

from imagebatch_jobrunner.decoder import pixels, png_rows
from imagebatch_jobrunner.decoder.containers import png_chunks
from imagebatch_jobrunner.decoder.formats.png import FORMAT

if not pixels.is_available():
    if os.environ.get("CI"):
        raise RuntimeError("there is no library of our own, so no Rust compiler: CI is to have one")
    pytest.skip("there is no library of our own, for no Rust compiler was there", allow_module_level=True)

MODES = {"L": (0, 1), "LA": (4, 2), "RGB": (2, 3), "RGBA": (6, 4)}
"""By mode: the colour type, and the bytes of a pixel."""

SIZES = [(1, 1), (1, 300), (300, 1), (7, 5), (333, 211), (1200, 300)]
"""The last takes several strips."""


def png(
    mode: str, size: tuple[int, int], inflated: bytes, cut_at: Iterable[int] = (), interlace: int = 0
) -> bytes:
    """A PNG of these filtered rows, whose data is cut into chunks at these places."""
    colour_type, _ = MODES[mode]
    header = (
        size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big") + bytes((8, colour_type, 0, 0, interlace))
    )
    return png_of(header, zlib.compress(inflated, 1), cut_at)


def png_of(header: bytes, deflated: bytes, cut_at: Iterable[int] = ()) -> bytes:
    places = [0, *sorted(min(place, len(deflated)) for place in cut_at), len(deflated)]
    data = [png_chunks.chunk(b"IDAT", deflated[a:b]) for a, b in pairwise(places)]
    return b"".join(
        [png_chunks.SIGNATURE, png_chunks.chunk(b"IHDR", header), *data, png_chunks.chunk(b"IEND", b"")]
    )


def noise(mode: str, size: tuple[int, int], source: random.Random) -> bytes:
    """Rows of random bytes, each with a random filter: all that a decoder can meet."""
    row = size[0] * MODES[mode][1]
    return b"".join(bytes((source.randrange(5),)) + source.randbytes(row) for _ in range(size[1]))


def by_pillow(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.copy()


def is_same(one: Image.Image, other: Image.Image) -> bool:
    return (one.mode, one.size) == (other.mode, other.size) and one.tobytes() == other.tobytes()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_it_shows_what_pillow_shows(mode: str, size: tuple[int, int]) -> None:
    source = random.Random(f"{mode} {size}")
    rows = noise(mode, size, source)
    for cuts in ([], [1, 2, 2, 3, 70_000], [source.randrange(len(rows)) for _ in range(9)]):
        data = png(mode, size, rows, cuts)
        found = png_rows.decoded(data)
        assert found is not None
        assert is_same(found, by_pillow(data))


@pytest.mark.parametrize("mode", MODES)
def test_what_pillow_saves_is_read(photo: Image.Image, encode: Callable[..., bytes], mode: str) -> None:
    picture = photo.convert(mode)
    found = png_rows.decoded(encode(picture, "PNG"))
    assert found is not None
    assert is_same(found, picture)


def unusual(photo: Image.Image, encode: Callable[..., bytes]) -> Iterator[tuple[str, bytes]]:
    yield "a palette", encode(photo.convert("P"), "PNG")
    yield "one bit", encode(photo.convert("1"), "PNG")
    yield "16 bits", encode(photo.convert("I;16"), "PNG")
    yield "two frames", encode(photo, "PNG", save_all=True, append_images=[ImageChops.invert(photo)])
    yield "interlaced", png("L", (1, 1), b"\0\5", interlace=1)


def test_unusual_files_are_left_to_pillow(photo: Image.Image, encode: Callable[..., bytes]) -> None:
    for name, data in unusual(photo, encode):
        by_pillow(data)
        assert png_rows.decoded(data) is None, name


def wrong(rows: bytes, size: tuple[int, int]) -> Iterator[tuple[str, bytes]]:
    header = size[0].to_bytes(4, "big") + size[1].to_bytes(4, "big") + bytes((8, 2, 0, 0, 0))
    deflated, row = zlib.compress(rows), 1 + 3 * size[0]
    whole = png_of(header, deflated)
    yield "no end chunk", whole[:-12]
    yield "cut", whole[: len(whole) // 2]
    yield "half of the data", png_of(header, deflated[: len(deflated) // 2])
    yield "a row too few", png_of(header, zlib.compress(rows[:-row]))
    yield "a row too many", png_of(header, zlib.compress(rows + rows[:row]))
    yield "a byte too many", png_of(header, zlib.compress(rows + b"\0"))
    yield "bytes behind the stream", png_of(header, deflated + b"\0\0")
    yield "a chunk behind the stream", png_of(header, deflated + b"\0\0", [len(deflated)])
    yield "a wrong checksum of the stream", png_of(header, deflated[:-1] + bytes((deflated[-1] ^ 1,)))
    yield "no checksum of the stream", png_of(header, deflated[:-4])
    yield "a wrong checksum of a chunk", whole[:-13] + bytes((whole[-13] ^ 1,)) + whole[-12:]
    yield "no such filter", png_of(header, zlib.compress(b"\5" + rows[1:]))
    yield "no data", png_of(header, b"")
    text = png_chunks.chunk(b"tEXt", b"a\0b")
    at = whole.index(b"IEND") - 4
    apart = png_of(header, deflated[:100])[:-12] + text + png_of(header, deflated[100:])[33:]
    yield "data in two places", apart
    yield (
        "an animation of one frame",
        whole[:33] + png_chunks.chunk(b"acTL", bytes(8)) + whole[33:at] + whole[at:],
    )


def test_what_is_wrong_is_left_to_pillow() -> None:
    size = (60, 40)
    rows = noise("RGB", size, random.Random(1))
    assert png_rows.decoded(png("RGB", size, rows)) is not None
    for name, data in wrong(rows, size):
        assert png_rows.decoded(data) is None, name


def test_damaged_files_are_never_shown_otherwise_than_by_pillow() -> None:
    source = random.Random(7)
    size = (60, 40)
    data = png("RGBA", size, noise("RGBA", size, source), [50, 500, 5_000])
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(source.randrange(1, 4)):
            damaged[source.randrange(8, len(damaged))] = source.randrange(256)
        found = png_rows.decoded(bytes(damaged))
        assert found is None or is_same(found, by_pillow(bytes(damaged)))


def test_lengths_that_do_not_fit_are_refused() -> None:
    assert pixels.undo_filters(b"\0abc", bytearray(6), 3, 3)
    for filtered, room, row, pixel in [
        (b"\0abc", 5, 3, 3), (b"\0abc", 7, 3, 3), (b"\0ab", 6, 3, 3), (b"\0abc", 6, 3, 2), (b"\0abc", 6, 0, 0),
        (b"\0abc", 6, 3, 5), (b"", 6, 3, 3), (b"\0abc", 0, 3, 3), (b"\0abc", 6, 2**63, 1), (b"\0abc", 6, 2**64 - 1, 1),
    ]:  # fmt: skip
        assert not pixels.undo_filters(filtered, bytearray(room), row, pixel)


def test_pillow_is_told_that_its_picture_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would decode it again, unseen."""
    data = png("RGB", (60, 40), noise("RGB", (60, 40), random.Random(2)))
    expected = by_pillow(data)
    image = FORMAT.open(data).image
    FORMAT.load(image, data, None)
    monkeypatch.setattr(Image, "_getdecoder", None)
    image.load()
    assert is_same(image.copy(), expected)
