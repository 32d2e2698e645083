"""Every layout of a Windows bitmap and of an icon comes out right or is refused by its name."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image, ImageCms

from imagebatch.options import Compression
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.limits import PictureLimits
from imagebatch_testing import bitmap_files as files
from imagebatch_testing.bitmap_files import Bitmap, Grid, Icon
from imagebatch_testing.pixels import (
    CLEAR,
    COLOURS,
    HEIGHT,
    WIDTH,
    Rows,
    alpha,
    coarse,
    grey,
    outcome,
    rgb,
    rows,
)

HEADERS = (40, 52, 56, 64, 108, 124)
PALETTE = [((i * 83) % 256, (i * 37 + 11) % 256, 255 - i) for i in range(256)]
BLACK_AND_WHITE = [(0, 0, 0), (255, 255, 255)]


def grid(count: int) -> Grid:
    return [
        [(x // 3 + y // 2) % count if x < 20 else (x * y + x) % count for x in range(WIDTH)]
        for y in range(HEIGHT)
    ]


def shown(pixels: Grid, palette: Sequence[tuple[int, ...]]) -> Rows:
    return [[palette[value] for value in row] for row in pixels]


def packed(*masks: int, opaque: bool = False) -> Grid:
    """Each colour, and alpha, in the bits of its mask."""

    def number(x: int, y: int) -> int:
        values = (*rgb(x, y), 255 if opaque else alpha(x, y))
        return sum(_placed(value, mask) for value, mask in zip(values, masks, strict=False))

    return [[number(x, y) for x in range(WIDTH)] for y in range(HEIGHT)]


def _placed(value: int, mask: int) -> int:
    if not mask:
        return 0
    shift = (mask & -mask).bit_length() - 1
    return round(value * (mask >> shift) / 255) << shift


def reduced(*bits: int) -> Rows:
    return rows(
        lambda x, y: tuple(coarse((value,), depth)[0] for value, depth in zip(rgb(x, y), bits, strict=True))
    )


BGR, BGRA = (0xFF0000, 0xFF00, 0xFF), (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
R565, R555 = (0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F)


def right() -> Iterator[tuple[str, Bitmap, Rows]]:
    for bits in (1, 4, 8):
        count = 1 << bits
        pixels, palette = grid(count), PALETTE[:count]
        for header in (12, *HEADERS):
            yield (
                f"{bits} bits, header {header}",
                Bitmap(pixels=pixels, bits=bits, header=header, palette=palette),
                shown(pixels, palette),
            )
        few = grid(2)
        for colours, words in (
            (BLACK_AND_WHITE, "black and white"),
            (BLACK_AND_WHITE[::-1], "white and black"),
        ):
            yield (
                f"{bits} bits, only {words}",
                Bitmap(pixels=few, bits=bits, palette=colours),
                shown(few, colours),
            )
            full = [*colours, *colours * (count // 2 - 1)] if bits > 1 else colours
            yield (
                f"{bits} bits, {words}, all told",
                Bitmap(pixels=few, bits=bits, palette=full),
                shown(few, full),
            )
        own = [3 * (value,) for value in range(count)]
        yield (
            f"{bits} bits, a palette of its own numbers",
            Bitmap(pixels=pixels, bits=bits, palette=own),
            shown(pixels, own),
        )
        even = [3 * (value * 255 // (count - 1),) for value in range(count)]
        yield f"{bits} bits, greys", Bitmap(pixels=pixels, bits=bits, palette=even), shown(pixels, even)
        yield (
            f"{bits} bits, colours uncounted",
            Bitmap(pixels=pixels, bits=bits, palette=palette, says_colours=False),
            shown(pixels, palette),
        )
        yield (
            f"{bits} bits, top down",
            Bitmap(pixels=pixels, bits=bits, palette=palette, is_top_down=True),
            shown(pixels, palette),
        )
    eight, four = grid(256), grid(16)
    for header in (40, 64, 108):
        yield (
            f"RLE8, header {header}",
            Bitmap(
                pixels=eight,
                bits=8,
                header=header,
                palette=PALETTE,
                compression=files.RLE8,
                data=files.rle8(eight),
            ),
            shown(eight, PALETTE),
        )
        yield (
            f"RLE4, header {header}",
            Bitmap(
                pixels=four,
                bits=4,
                header=header,
                palette=PALETTE[:16],
                compression=files.RLE4,
                data=files.rle4(four),
            ),
            shown(four, PALETTE),
        )
    two = grid(2)
    yield (
        "RLE8 of black and white",
        Bitmap(pixels=two, bits=8, palette=BLACK_AND_WHITE, compression=files.RLE8, data=files.rle8(two)),
        shown(two, BLACK_AND_WHITE),
    )
    for header in (12, *HEADERS):
        yield f"24 bits, header {header}", Bitmap(pixels=packed(*BGR), bits=24, header=header), COLOURS
    for header in HEADERS:
        yield (
            f"16 bits, header {header}",
            Bitmap(pixels=packed(*R555), bits=16, header=header),
            reduced(5, 5, 5),
        )
        yield (
            f"32 bits without masks, header {header}",
            Bitmap(pixels=packed(*BGRA), bits=32, header=header),
            COLOURS,
        )
    for header in (40, 52, 56, 108, 124):
        masked: dict[str, Any] = {"header": header, "compression": files.BITFIELDS}
        yield (
            f"565, header {header}",
            Bitmap(pixels=packed(*R565), bits=16, masks=R565, **masked),
            reduced(5, 6, 5),
        )
        yield (
            f"555, header {header}",
            Bitmap(pixels=packed(*R555), bits=16, masks=R555, **masked),
            reduced(5, 5, 5),
        )
        for masks in (BGR, (0xFF000000, 0xFF0000, 0xFF00)):
            yield (
                f"32 bits by {masks}, header {header}",
                Bitmap(pixels=packed(*masks), bits=32, masks=masks, **masked),
                COLOURS,
            )
    for header in (56, 108, 124):
        for quad in (BGRA, (0xFF, 0xFF00, 0xFF0000, 0xFF000000), (0xFF000000, 0xFF0000, 0xFF00, 0xFF)):
            bitmap = Bitmap(
                pixels=packed(*quad), bits=32, header=header, masks=quad, compression=files.BITFIELDS
            )
            yield f"alpha by {quad}, header {header}", bitmap, CLEAR
            empty = replace(bitmap, pixels=packed(*quad[:3]))
            yield f"alpha that is all 0 by {quad}, header {header}", empty, COLOURS
    yield "32 bits, top down", Bitmap(pixels=packed(*BGRA), bits=32, is_top_down=True), COLOURS


RIGHT = list(right())


@pytest.mark.parametrize(("bitmap", "wanted"), [cell[1:] for cell in RIGHT], ids=[name for name, *_ in RIGHT])
def test_a_layout_that_is_decoded_comes_out_right(bitmap: Bitmap, wanted: Rows) -> None:
    found = outcome(files.bmp(bitmap), wanted)
    assert found.refusal == ""
    assert found.mean <= 0.7


PLAIN = Bitmap(pixels=packed(*BGR), bits=24)
REFUSED = {
    "a JPEG inside": (replace(PLAIN, bits=0, compression=files.JPEG, data=b"x"), "a JPEG in it"),
    "a PNG inside": (replace(PLAIN, bits=0, compression=files.PNG, data=b"x"), "a PNG in it"),
    "CMYK": (replace(PLAIN, compression=11), "CMYK"),
    "OS/2's Huffman": (Bitmap(pixels=grid(2), bits=1, header=64, palette=BLACK_AND_WHITE, compression=3), "OS/2 compression 3"),
    "OS/2's RLE24": (replace(PLAIN, header=64, compression=4), "OS/2 compression 4"),
    "2 bits": (Bitmap(pixels=grid(4), bits=2, palette=PALETTE[:4]), "2 bits a pixel"),
    "64 bits": (replace(PLAIN, bits=64), "64 bits a pixel"),
    "odd masks of 32 bits": (Bitmap(pixels=packed(*BGR), bits=32, masks=(0x3FF00000, 0xFFC00, 0x3FF), compression=3), "other colour masks"),
    "odd masks of 16 bits": (Bitmap(pixels=packed(*R565), bits=16, masks=(0xF00, 0xF0, 0xF), compression=3), "other colour masks"),
    "1555": (Bitmap(pixels=packed(*R555), bits=16, header=108, masks=(*R555, 0x8000), compression=3), "16 bits a pixel with alpha"),
    "RLE8 of 4 bits": (Bitmap(pixels=grid(16), bits=4, palette=PALETTE[:16], compression=files.RLE8), "compression 1 of 4 bits a pixel"),
    "RLE from the top down": (Bitmap(pixels=grid(16), bits=8, palette=PALETTE, compression=files.RLE8, is_top_down=True), "run lengths from the top down"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_any_other_layout_is_refused_by_its_name(name: str) -> None:
    bitmap, words = REFUSED[name]
    assert (
        outcome(files.bmp(bitmap), COLOURS).refusal
        == f"unsupported_format: the file is BMP of a rare kind: {words}"
    )


def test_an_embedded_profile_is_kept() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = files.bmp(replace(PLAIN, header=124, colour_space=b"DEBM", profile=profile))
    result = compress_image(data, Compression(format="png"), PictureLimits())
    assert Image.open(io.BytesIO(result.data)).info["icc_profile"] == profile


# Icons

MASK: Grid = [[int(alpha(x, y) == 0) for x in range(WIDTH)] for y in range(HEIGHT)]
CUT: Rows = rows(lambda x, y: (*rgb(x, y), 255 * (1 - MASK[y][x])))


def png(pixels: Rows) -> bytes:
    image = Image.new("RGBA" if len(pixels[0][0]) == 4 else "RGB", (len(pixels[0]), len(pixels)))
    image.putdata([pixel for row in pixels for pixel in row])
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def masked(bits: int, says: int) -> tuple[Icon, Rows]:
    pixels, palette = grid(1 << bits), PALETTE[: 1 << bits]
    icon = Icon(
        bitmap=Bitmap(pixels=pixels, bits=bits, palette=palette), mask=MASK, says=(WIDTH, HEIGHT, says)
    )
    colours = shown(pixels, palette)
    return icon, rows(lambda x, y: (*colours[y][x], 255 * (1 - MASK[y][x])))


THIRTY_TWO = Bitmap(pixels=packed(*BGRA), bits=32)
NO_ALPHA = Bitmap(pixels=packed(*BGR), bits=32)
SMALL = Icon(png=png(rows(lambda x, y: (x, y, 0), 9, 9)), says=(9, 9, 32))
LARGE: Rows = rows(lambda x, y: rgb(x % WIDTH, y % HEIGHT), 300, 280)
ICONS: dict[str, tuple[tuple[Icon, ...], Rows]] = {
    **{f"{bits} bits": ((masked(bits, bits)[0],), masked(bits, bits)[1]) for bits in (1, 4, 8)},
    "4 bits, not told": ((masked(4, 0)[0],), masked(4, 0)[1]),
    "24 bits": ((Icon(bitmap=PLAIN, mask=MASK),), CUT),
    "32 bits": ((Icon(bitmap=THIRTY_TWO, says=(WIDTH, HEIGHT, 32)),), CLEAR),
    "32 bits, not told": ((Icon(bitmap=THIRTY_TWO, says=(WIDTH, HEIGHT, 0)),), CLEAR),
    "32 bits, told wrongly": ((Icon(bitmap=THIRTY_TWO, mask=MASK, says=(16, 16, 8)),), CLEAR),
    "alpha that is all 0": ((Icon(bitmap=NO_ALPHA, says=(WIDTH, HEIGHT, 32)),), COLOURS),
    "alpha that is all 0, and a mask": ((Icon(bitmap=NO_ALPHA, mask=MASK, says=(WIDTH, HEIGHT, 32)),), CUT),
    "PNG": ((Icon(png=png(CLEAR)),), CLEAR),
    "opaque PNG": ((Icon(png=png(COLOURS)),), COLOURS),
    "the larger first": ((Icon(png=png(CLEAR)), SMALL), CLEAR),
    "the larger last": ((SMALL, Icon(png=png(CLEAR))), CLEAR),
    "a PNG and a small bitmap": ((Icon(bitmap=Bitmap(pixels=grid(2)[:9], bits=1, palette=BLACK_AND_WHITE)), Icon(png=png(COLOURS))), COLOURS),
    "of one size the one with more colours": ((masked(4, 4)[0], Icon(bitmap=THIRTY_TWO, says=(WIDTH, HEIGHT, 32)), masked(8, 8)[0]), CLEAR),
    "larger than its directory can say": ((SMALL, Icon(png=png(LARGE), says=(0, 0, 32))), LARGE),
}  # fmt: skip


@pytest.mark.parametrize("name", ICONS)
def test_the_largest_picture_of_an_icon_comes_out_right(name: str) -> None:
    icons, wanted = ICONS[name]
    found = outcome(files.ico(*icons), wanted)
    assert (found.refusal, found.mean) == ("", 0.0)
    assert ("pages_dropped" in found.notes) == (len(icons) > 1)


def test_an_icon_of_run_lengths_is_refused_by_its_name() -> None:
    bitmap = Bitmap(
        pixels=grid(256), bits=8, palette=PALETTE, compression=files.RLE8, data=files.rle8(grid(256))
    )
    assert (
        "ICO of a rare kind: a bitmap with compression 1"
        in outcome(files.ico(Icon(bitmap=bitmap)), COLOURS).refusal
    )


def test_grey_is_grey() -> None:
    pixels = [[grey(x, y) for x in range(WIDTH)] for y in range(HEIGHT)]
    palette = [3 * (value,) for value in range(256)]
    assert (
        outcome(files.bmp(Bitmap(pixels=pixels, bits=8, palette=palette)), shown(pixels, palette)).mean == 0
    )
