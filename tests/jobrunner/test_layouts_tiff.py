"""Every layout of a TIFF page comes out right or is refused by its name: the table of what the codec decodes."""

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from PIL import Image, ImageCms

from imagebatch_testing import tiff_files as tiff
from imagebatch_testing.pixels import (
    CLEAR,
    CLEAR_GREYS,
    COLOURS,
    GREYS,
    HEIGHT,
    WIDTH,
    Pixel,
    Rows,
    alpha,
    coarse,
    grey,
    outcome,
    premultiplied,
    rgb,
    rows,
    scaled,
    smooth,
)  # fmt: skip
from imagebatch_testing.tiff_files import Page

ORDERS = ("<", ">")
LOSSLESS = (tiff.RAW, tiff.LZW, tiff.DEFLATE, tiff.OLD_DEFLATE, tiff.PACKBITS, tiff.LZMA, tiff.ZSTD)
PREDICTABLE = (tiff.LZW, tiff.DEFLATE, tiff.LZMA, tiff.ZSTD)
MAP = tuple(
    value * 257
    for channel in range(3)
    for value in (((i * 83) % 256, (i * 37 + 11) % 256, 255 - i)[channel] for i in range(256))
)


def deep(bits: int, pixel: Callable[[int, int], Pixel]) -> Rows:
    return rows(lambda x, y: scaled(pixel(x, y), bits))


def grey_page(bits: int, photometric: int = tiff.BLACK_IS_ZERO, **layout: Any) -> Page:
    top = (1 << bits) - 1 if photometric == tiff.WHITE_IS_ZERO else 0
    samples = rows(lambda x, y: (abs(top - scaled((grey(x, y),), bits)[0]),))
    return Page(samples=samples, photometric=photometric, bits=bits, **layout)


def grey_rows(bits: int) -> Rows:
    return rows(lambda x, y: 3 * coarse((grey(x, y),), min(bits, 16)))


def rgb_page(bits: int, extra: tuple[int, ...] = (), unsaid: int = 0, **layout: Any) -> Page:
    """Extra samples after the first hold what must not be seen."""

    def pixel(x: int, y: int) -> Pixel:
        colours = premultiplied(rgb(x, y), alpha(x, y)) if extra[:1] == (1,) else rgb(x, y)
        return colours + (alpha(x, y), 77, 5)[: len(extra) + unsaid]

    return Page(samples=deep(bits, pixel), photometric=tiff.RGB, bits=bits, extra=extra, **layout)


def palette_page(bits: int, colour_map: tuple[int, ...], **layout: Any) -> Page:
    count = 1 << bits
    chosen = tuple(colour_map[channel * 256 + i] for channel in range(3) for i in range(count))
    samples = rows(lambda x, y: ((x * y + x) % count,))
    return Page(samples=samples, photometric=tiff.PALETTE, bits=bits, tags={320: chosen}, **layout)


def palette_rows(bits: int) -> Rows:
    return rows(
        lambda x, y: tuple(MAP[channel * 256 + (x * y + x) % (1 << bits)] // 257 for channel in range(3))
    )


def ycbcr(x: int, y: int) -> Pixel:
    """ITU-R BT.601, full range."""
    r, g, b = smooth(x, y)
    luminance = 0.299 * r + 0.587 * g + 0.114 * b
    return tuple(
        round(value) for value in (luminance, 128 + (b - luminance) / 1.772, 128 + (r - luminance) / 1.402)
    )


def lab(x: int, y: int) -> Pixel:
    return grey(x, y), (x * 3 - 50) % 256, (y * 4 - 60) % 256


def lab_rows() -> Rows:
    """By Little CMS, whose a and b have an offset of 128 in place of a sign."""
    data = bytes(value for row in rows(lab) for L, a, b in row for value in (L, a ^ 128, b ^ 128))
    image = ImageCms.profileToProfile(
        _as_lab(data),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert image is not None
    return [[image.getpixel((x, y)) for x in range(WIDTH)] for y in range(HEIGHT)]  # type: ignore[misc]


def _as_lab(data: bytes) -> Image.Image:
    image = Image.new("LAB", (WIDTH, HEIGHT))
    image.putdata([tuple(data[at : at + 3]) for at in range(0, len(data), 3)])
    return image


def encoded(pillow_format: str, mode: str, **options: object) -> Callable[[Rows], bytes]:
    """A strip or tile as a file of its own, for the compressions that embed one."""

    def strip(piece: Rows) -> bytes:
        flat = bytes(value for row in piece for pixel in row for value in pixel)
        file = io.BytesIO()
        Image.frombytes(mode, (len(piece[0]), len(piece)), flat).save(file, pillow_format, **options)
        return file.getvalue()

    return strip


def cmyk_jpeg(piece: Rows) -> bytes:
    """Inks as they are: Pillow's writer inverts them, as Photoshop does in files of its own."""
    return encoded("JPEG", "CMYK", quality=95)(
        [[tuple(255 - ink for ink in pixel) for pixel in row] for row in piece]
    )


def old_jpeg_page(subsampling: int) -> Page:
    """TIFF 6.0, 22, as it was used: one whole JPEG file."""
    jpeg = encoded("JPEG", "RGB", quality=95, subsampling=subsampling)(rows(smooth))
    halves = {0: (1, 1), 1: (2, 1), 2: (2, 2)}[subsampling]
    return Page(samples=rows(smooth), photometric=tiff.YCBCR, compression=tiff.OLD_JPEG, subsampling=halves,
                rows_per_strip=HEIGHT, encode=lambda _: jpeg, tags={513: (8,), 514: (len(jpeg),)})  # fmt: skip


RUNS = {"white": "10011", "black": "000101"}  # of 8 pixels: ITU-T T.4, table 2
NO_WHITE = "00110101"


def fax(rule: int) -> Callable[[Rows], bytes]:
    """CCITT: upright stripes of 8 pixels, white first; `rule` is the compression: 2, 3 (one-dimensional) or 4."""

    def strip(piece: Rows) -> bytes:
        runs = len(piece[0]) // 8
        row = "".join(RUNS["black" if number % 2 else "white"] for number in range(runs))
        if rule == 4:  # T.6: pairs of runs in horizontal mode
            pairs = [RUNS["white"] + RUNS["black"]] * (runs // 2)
            text = "".join("001" + pair for pair in pairs) * len(piece) + "000000000001" * 2
        elif rule == 3:
            text = "".join("000000000001" + row for _ in piece)
        else:  # each row begins on a byte
            text = (row + "0" * (-len(row) % 8)) * len(piece)
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")

    return strip


STRIPES: Rows = rows(lambda x, _: (x // 8 % 2,), width=64, height=16)


def fax_page(rule: int, photometric: int = tiff.WHITE_IS_ZERO) -> Page:
    return Page(
        samples=STRIPES,
        photometric=photometric,
        bits=1,
        compression=rule,
        encode=fax(rule),
        rows_per_strip=16,
    )


def stripe_rows(first: int) -> Rows:
    return rows(lambda x, _: 3 * (first if x // 8 % 2 == 0 else 255 - first,), width=64, height=16)


Cell = tuple[str, bytes, Rows]


def right() -> Iterator[Cell]:
    """Name, file, wanted pixels."""
    for order in ORDERS:
        yield from right_of(order)
    for page in (
        rgb_page(8),
        rgb_page(16, compression=tiff.LZW, predictor=2),
        grey_page(1),
        rgb_page(16, planar=2),
    ):
        name = f"BigTIFF < {page.bits} bits, {page.compression}, {page.planar}"
        wanted = grey_rows(1) if page.photometric == tiff.BLACK_IS_ZERO else COLOURS
        yield name, tiff.tiff(page, big=True), wanted
    turned = replace(
        rgb_page(8), samples=[list(row) for row in zip(*COLOURS[::-1], strict=True)], tags={274: (8,)}
    )
    yield "turned", tiff.tiff(turned), COLOURS
    yield "turned, in planes", tiff.tiff(replace(turned, planar=2, bits=8, compression=tiff.LZW)), COLOURS
    yield (
        "mirrored",
        tiff.tiff(replace(rgb_page(8), samples=[row[::-1] for row in COLOURS], tags={274: (2,)})),
        COLOURS,
    )


def right_of(order: str) -> Iterator[Cell]:
    def cell(name: str, page: Page, wanted: Rows) -> Cell:
        return f"{order} {name}", tiff.tiff(page, order=order), wanted

    for bits in (1, 2, 4, 8, 16):
        for photometric in (tiff.BLACK_IS_ZERO, tiff.WHITE_IS_ZERO):
            for compression in LOSSLESS:
                page = grey_page(bits, photometric, compression=compression)
                yield cell(
                    f"grey {bits}, photometric {photometric}, compression {compression}",
                    page,
                    grey_rows(bits),
                )
            if bits < 16:
                page = grey_page(bits, photometric, fill_order=2)
                yield cell(f"grey {bits}, photometric {photometric}, fill order 2", page, grey_rows(bits))
    for bits in (8, 16):
        for planar in (1, 2):
            for tile in (0, 16):
                for compression in LOSSLESS:
                    page = rgb_page(bits, planar=planar, tile=tile, compression=compression)
                    yield cell(
                        f"RGB {bits}, planar {planar}, tile {tile}, compression {compression}", page, COLOURS
                    )
                for compression in PREDICTABLE:
                    page = rgb_page(bits, planar=planar, tile=tile, compression=compression, predictor=2)
                    yield cell(
                        f"RGB {bits}, planar {planar}, tile {tile}, predicted {compression}", page, COLOURS
                    )
            for compression in (tiff.RAW, tiff.LZW):
                yield from extras_of(cell, bits, planar, compression)
    for bits in (1, 2, 4, 8):
        for layout in ({}, {"compression": tiff.DEFLATE}, {"fill_order": 2}, {"tile": 16}):
            yield cell(f"palette {bits}, {layout}", palette_page(bits, MAP, **layout), palette_rows(bits))
    yield cell(
        "palette of 8 bits a colour", palette_page(8, tuple(value // 257 for value in MAP)), palette_rows(8)
    )
    for compression in (tiff.RAW, tiff.LZW):
        page = Page(samples=rows(lab), photometric=tiff.LAB, compression=compression)
        yield cell(f"Lab, compression {compression}", page, lab_rows())
        for subsampling in ((1, 1), (2, 1), (2, 2), (1, 2), (4, 1), (4, 2), (4, 4)):
            for tile in (0, 16):
                page = Page(samples=rows(ycbcr), photometric=tiff.YCBCR, compression=compression,
                            subsampling=subsampling, tile=tile, rows_per_strip=8)  # fmt: skip
                yield cell(f"YCbCr {subsampling}, tile {tile}, compression {compression}", page, rows(smooth))
        page = Page(samples=rows(ycbcr), photometric=tiff.YCBCR, compression=compression, planar=2)
        yield cell(f"YCbCr in planes, compression {compression}", page, rows(smooth))
    yield from embedded(cell)
    for chroma in (0, 1, 2):
        yield cell(f"JPEG, old style, {chroma}", old_jpeg_page(chroma), rows(smooth))
    for rule in (2, 3, 4):
        yield cell(f"CCITT {rule}", fax_page(rule), stripe_rows(255))
        yield cell(f"CCITT {rule}, black is 0", fax_page(rule, tiff.BLACK_IS_ZERO), stripe_rows(0))


def extras_of(
    cell: Callable[[str, Page, Rows], Cell], bits: int, planar: int, compression: int
) -> Iterator[Cell]:
    """Selections and alpha beside the colours."""
    layout: dict[str, Any] = {"planar": planar, "compression": compression}
    words = f"{bits}, planar {planar}, compression {compression}"
    kinds: list[tuple[tuple[int, ...], Rows]] = [((0,), COLOURS), ((1,), CLEAR), ((2,), CLEAR)]
    if bits == 8 or planar == 2:
        kinds += [
            ((0, 0), COLOURS),
            ((0, 0, 0), COLOURS),
            ((1, 0), CLEAR),
            ((2, 0), CLEAR),
            ((2, 0, 0), CLEAR),
        ]
    if bits == 8 and planar == 1:
        kinds.append(((999,), CLEAR))  # Corel Draw
    for extra, wanted in kinds:
        yield cell(f"RGB + {extra} {words}", rgb_page(bits, extra, **layout), wanted)
    if planar == 1:
        yield cell(f"RGBA without a word {words}", rgb_page(bits, unsaid=1, **layout), CLEAR)
    for extra in ((), (0,), (0, 0)):
        if extra and bits == 16 and planar == 1:
            continue
        inks = deep(bits, partial(_inks, len(extra)))
        page = Page(samples=inks, photometric=tiff.CMYK, bits=bits, extra=extra, **layout)
        yield cell(f"CMYK + {extra} {words}", page, COLOURS)
    for extra in ((0,), (1,), (2,)):
        if (bits == 16 and planar == 1) or (planar == 2 and extra != (0,)):
            continue
        for photometric in (tiff.BLACK_IS_ZERO, tiff.WHITE_IS_ZERO):
            if photometric == tiff.WHITE_IS_ZERO and extra == (1,):
                continue
            yield cell(f"grey {photometric} + {extra} {words}", clear_grey(bits, photometric, extra, **layout),
                       GREYS if extra == (0,) else CLEAR_GREYS)  # fmt: skip


def _inks(extras: int, x: int, y: int) -> Pixel:
    """A CMYK pixel with so many extra samples."""
    return (*(255 - value for value in rgb(x, y)), 0, *[alpha(x, y)] * extras)


def clear_grey(bits: int, photometric: int, extra: tuple[int, ...], **layout: Any) -> Page:
    def pixel(x: int, y: int) -> Pixel:
        shade = abs(255 * (photometric == tiff.WHITE_IS_ZERO) - grey(x, y))
        return (*premultiplied((shade,), alpha(x, y) if extra == (1,) else 255), alpha(x, y))

    return Page(samples=deep(bits, pixel), photometric=photometric, bits=bits, extra=extra, **layout)


def embedded(cell: Callable[[str, Page, Rows], Cell]) -> Iterator[Cell]:
    """JPEG in strips and tiles."""
    for tile, rows_per_strip in ((0, 16), (16, 0)):
        layout: dict[str, Any] = {"tile": tile, "rows_per_strip": rows_per_strip, "compression": tiff.JPEG}
        colours, greys = rows(smooth), rows(lambda x, y: (grey(x, y),))
        jpeg = encoded("JPEG", "RGB", quality=95, subsampling=0)
        yield cell(
            f"JPEG, YCbCr, tile {tile}",
            Page(samples=colours, photometric=tiff.YCBCR, encode=jpeg, **layout),
            colours,
        )
        jpeg = encoded("JPEG", "RGB", quality=95, subsampling=2)
        page = Page(samples=colours, photometric=tiff.YCBCR, subsampling=(2, 2), encode=jpeg, **layout)
        yield cell(f"JPEG, YCbCr halved, tile {tile}", page, colours)
        jpeg = encoded("JPEG", "RGB", quality=95, keep_rgb=True)
        yield cell(
            f"JPEG, RGB, tile {tile}",
            Page(samples=colours, photometric=tiff.RGB, encode=jpeg, **layout),
            colours,
        )
        inks = rows(lambda x, y: (*(255 - value for value in smooth(x, y)), 0))
        page = Page(samples=inks, photometric=tiff.CMYK, encode=cmyk_jpeg, **layout)
        yield cell(f"JPEG, CMYK, tile {tile}", page, colours)
        jpeg = encoded("JPEG", "L", quality=95)
        yield cell(
            f"JPEG, grey, tile {tile}",
            Page(samples=greys, photometric=tiff.BLACK_IS_ZERO, encode=jpeg, **layout),
            GREYS,
        )


RIGHT = list(right())
TOLERANCES = (("JPEG", 4.0), ("YCbCr", 3.0))


@pytest.mark.parametrize(("name", "data", "wanted"), RIGHT, ids=[name for name, *_ in RIGHT])
def test_a_layout_that_is_decoded_comes_out_right(name: str, data: bytes, wanted: Rows) -> None:
    found = outcome(data, wanted)
    assert found.refusal == ""
    assert found.mean <= next((bound for word, bound in TOLERANCES if word in name), 0.7)


def floats(x: int, y: int) -> Pixel:
    return tuple(int.from_bytes(struct.pack(">f", value / 255), "big") for value in rgb(x, y))


def refused() -> Iterator[tuple[str, bytes, str]]:
    """Name, file, what it is called."""

    def cell(name: str, page: Page, words: str) -> tuple[str, bytes, str]:
        return name, tiff.tiff(page), words

    for bits in (6, 10, 12, 14, 24, 32, 64):
        yield cell(f"grey {bits}", grey_page(bits), f"pixels of {bits} bits")
        yield cell(
            f"negative grey {bits}",
            grey_page(bits, tiff.WHITE_IS_ZERO, compression=tiff.LZW),
            f"pixels of {bits} bits",
        )
    for bits in (4, 12, 32):
        yield cell(f"RGB {bits}", rgb_page(bits), f"pixels of {bits} + {bits} + {bits} bits")
    for bits in (8, 16, 32):
        yield cell(f"signed {bits}", grey_page(bits, sample_format=2), f"pixels of {bits} bits, signed")
        yield cell(f"signed RGB {bits}", rgb_page(bits, sample_format=2), "bits, signed")
    for predictor in (1, 3):
        page = Page(samples=rows(floats), photometric=tiff.RGB, bits=32, sample_format=3,
                    compression=tiff.DEFLATE, predictor=predictor)  # fmt: skip
        yield cell(
            f"floating point, predictor {predictor}", page, "pixels of 32 + 32 + 32 bits, floating point"
        )
    yield cell("half floats", grey_page(16, sample_format=3), "pixels of 16 bits, floating point")
    yield cell("complex numbers", grey_page(32, sample_format=6), "floating point")
    yield cell("without a sample format", grey_page(8, sample_format=4), "pixels of 8 bits")
    yield cell(
        "predictor of DNG", rgb_page(8, compression=tiff.DEFLATE, tags={317: (34892,)}), "predictor 34892"
    )
    yield cell(
        "predicted floats of whole numbers",
        rgb_page(8, compression=tiff.LZW, tags={317: (3,)}),
        "predictor 3",
    )
    for compression in (9, 32766, 32809, 34676, 34712, 34887, 34892, 50001, 50002):
        page = rgb_page(8, tags={259: (compression,)})
        yield cell(f"compression {compression}", page, f"compression {compression}")
    for photometric in (tiff.LAB, tiff.WHITE_IS_ZERO, tiff.PALETTE):
        page = rgb_page(8, tags={259: (tiff.JPEG,), 262: (photometric,)})
        yield cell(f"JPEG of photometric {photometric}", page, f"compression 7 of photometric {photometric}")
    yield cell(
        "JPEG in planes",
        rgb_page(8, planar=2, tags={259: (tiff.JPEG,)}),
        "compression 7 of photometric 2, in planes",
    )
    yield cell("fax of grey", grey_page(8, tags={259: (4,)}), "compression 4 of pixels of 8 bits")
    for photometric, words in (
        (9, "ICC L*a*b*"),
        (10, "ITU L*a*b*"),
        (32844, "LogL"),
        (32845, "LogLuv"),
        (7, "photometric 7"),
    ):
        yield cell(f"photometric {photometric}", rgb_page(8, tags={262: (photometric,)}), words)
    yield cell(
        "other inks",
        Page(samples=rows(lambda x, y: (*rgb(x, y), 0)), photometric=5, tags={332: (2,)}),
        "inks other than CMYK",
    )
    lab16 = Page(samples=rows(lambda x, y: scaled(lab(x, y), 16)), photometric=tiff.LAB, bits=16)
    yield cell("Lab 16", lab16, "pixels of 16 + 16 + 16 bits")
    yield cell("Lab in planes", Page(samples=rows(lab), photometric=tiff.LAB, planar=2), "L*a*b* in planes")
    yield cell(
        "palette 16", Page(samples=rows(lambda x, y: (x + y,)), photometric=3, bits=16), "pixels of 16 bits"
    )
    yield cell(
        "grey and alpha in planes", clear_grey(8, 1, (2,), planar=2), "with an extra channel, in planes"
    )
    yield cell("two alphas", rgb_page(8, (2, 2)), "with more than one extra channel")
    yield cell("a selection before the alpha", rgb_page(8, (0, 2)), "with more than one extra channel")
    yield cell("unsaid alpha in planes", rgb_page(8, unsaid=1, planar=2), "that it does not explain")
    yield cell("two unsaid channels", rgb_page(8, unsaid=2), "that it does not explain")
    inks = Page(samples=rows(lambda x, y: (*rgb(x, y), 0, alpha(x, y))), photometric=tiff.CMYK, extra=(2,))
    yield cell("CMYK with alpha", inks, "with an extra channel")
    yield "big-endian BigTIFF", tiff.tiff(rgb_page(8), order=">", big=True), "a big-endian BigTIFF"


REFUSED = list(refused())


@pytest.mark.parametrize(("name", "data", "words"), REFUSED, ids=[name for name, *_ in REFUSED])
def test_any_other_layout_is_refused_by_its_name(name: str, data: bytes, words: str) -> None:
    refusal = outcome(data, COLOURS).refusal
    assert refusal.startswith("unsupported_format: the file is TIFF of a rare kind: ")
    assert words in refusal, name


# Which page is the picture


def small(photometric: int = tiff.RGB, **layout: Any) -> Page:
    return Page(samples=rows(lambda x, _: 3 * (x * 9,), 12, 9), photometric=photometric, **layout)


def mosaic(width: int = WIDTH, height: int = HEIGHT, **layout: Any) -> Page:
    samples = rows(lambda x, y: (rgb(x % WIDTH, y % HEIGHT)[(x + y) % 2],), width, height)
    return Page(samples=samples, photometric=tiff.CFA, **layout)


REDUCED = {254: (1,)}
PAGES = {
    "a thumbnail first": (small(tags=REDUCED), rgb_page(8)),
    "a thumbnail first that does not say so": (small(), rgb_page(8)),
    "a thumbnail by the older tag": (small(tags={255: (2,)}), rgb_page(8)),
    "the picture first": (rgb_page(8), small()),
    "the picture in a sub-directory": (small(tags=REDUCED, sub_pages=(rgb_page(8),)),),
    "a larger one is a mask": (
        rgb_page(8),
        Page(samples=rows(lambda *_: (1,), 99, 99), photometric=4, bits=1, tags={254: (4,)}),
    ),
    "all are reduced": (small(tags=REDUCED), rgb_page(8, tags=REDUCED)),
    "two pages of one document": (rgb_page(8), Page(samples=rows(smooth, WIDTH, HEIGHT + 1), photometric=2)),
    "a raw file with a whole preview": (
        small(tags={**REDUCED, 50706: (1,)}, sub_pages=(mosaic(), rgb_page(8))),
    ),
    "a preview a bit smaller than the sensor": (
        mosaic(WIDTH + 2, HEIGHT + 2, sub_pages=(rgb_page(8, tags=REDUCED),)),
    ),
    "in planes": (small(tags=REDUCED), rgb_page(16, (2, 0), planar=2)),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", PAGES)
def test_the_largest_page_in_full_is_the_picture(name: str, order: str) -> None:
    found = outcome(tiff.tiff(*PAGES[name], order=order), CLEAR if name == "in planes" else COLOURS)
    assert (found.refusal, found.mean) == ("", 0.0)
    assert "pages_dropped" in found.notes or name == "a larger one is a mask"


@pytest.mark.parametrize(
    "pages",
    [
        (small(tags={**REDUCED, 50706: (1,)}, sub_pages=(mosaic(),)),),
        (mosaic(),),
        (small(), mosaic()),
        (replace(rgb_page(16), photometric=tiff.LINEAR_RAW),),
        (replace(rgb_page(8), compression=tiff.RAW, tags={50706: (1,), 259: (34892,)}),),
    ],
    ids=["thumbnail", "mosaic", "no DNG", "linear", "lossy"],
)
def test_a_raw_file_without_a_whole_preview_is_called_so(pages: tuple[Page, ...]) -> None:
    assert (
        "unsupported_format: the file is a camera raw picture" in outcome(tiff.tiff(*pages), COLOURS).refusal
    )


def test_canons_raw_files_are_called_so() -> None:
    data = bytearray(tiff.tiff(rgb_page(8)))
    data[8:10] = b"CR"
    assert "a camera raw picture" in outcome(bytes(data), COLOURS).refusal


def test_a_file_that_leads_in_circles_ends() -> None:
    data = bytearray(tiff.tiff(rgb_page(8)))
    at = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[at : at + 2], "little")
    data[at + 2 + 12 * count : at + 6 + 12 * count] = data[4:8]
    assert outcome(bytes(data), COLOURS).mean == 0.0
