"""A small corpus of our own drawing: every format that is decoded, in its usual kinds, and broken ones too.

Made anew by each test run, so that the corpus tests never have nothing to look at.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from imagebatch_testing import bitmap_files, psd_files, tiff_files
from imagebatch_testing.bitmap_files import Bitmap, Icon
from imagebatch_testing.pixels import rgb, rows
from imagebatch_testing.psd_files import Document
from imagebatch_testing.tiff_files import Page

SIZE = (192, 144)
HEIC_FILES = Path(__file__).parent / "heic_files"
"""Written by make_heic_files.py."""

HEIC_KINDS = ("picture", "turned", "clear", "grey", "odd", "deep", "two")
"""Those of them that are what they look like without regard to colour spaces."""

CUT_PARTS = (0.1, 0.5, 0.95)


def draw(folder: Path) -> Path:
    """Write it into that folder, one file of each kind."""
    whole = dict(_files())
    for name, data in whole.items():
        (folder / name).write_bytes(data)
        for part in CUT_PARTS:
            (folder / f"cut {part} {name}").write_bytes(data[: int(len(data) * part)])
        (folder / f"damaged {name}").write_bytes(_damaged(data))
    for name, data in _strange().items():
        (folder / name).write_bytes(data)
    return folder


def picture() -> Image.Image:
    """A sky over a meadow, with a red roof and some noise: smooth parts, edges and detail."""
    sky = Image.linear_gradient("L").resize(SIZE)
    image = Image.merge(
        "RGB",
        (
            sky.point(lambda v: 90 + v // 3),
            sky.point(lambda v: 140 + v // 4),
            sky.point(lambda v: 255 - v // 3),
        ),
    )
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 100, *SIZE), (60, 140, 50))
    pen.polygon(((60, 70), (100, 30), (140, 70)), (190, 40, 30))
    pen.rectangle((70, 70, 130, 120), (230, 220, 190))
    pen.ellipse((150, 10, 180, 40), (250, 220, 60))
    speckles = Image.frombytes(
        "L", SIZE, bytes(number * 2654435761 % 251 % 40 for number in range(SIZE[0] * SIZE[1]))
    )
    return Image.blend(image, Image.merge("RGB", (speckles,) * 3), 0.15)


def _files() -> Iterator[tuple[str, bytes]]:
    image = picture()
    clear = image.copy()
    clear.putalpha(Image.radial_gradient("L").resize(SIZE))
    grey, few = image.convert("L"), image.quantize(32)
    exif = Image.Exif()
    for turn in range(1, 9):
        exif[0x0112] = turn
        yield f"turned {turn}.jpg", _saved(image, "JPEG", quality=88, exif=exif)
    yield "progressive.jpg", _saved(image, "JPEG", quality=92, progressive=True)
    yield "low.jpg", _saved(image, "JPEG", quality=25)
    yield "cmyk.jpg", _saved(image.convert("CMYK"), "JPEG", quality=90)
    yield "pages.jpg", _saved(image, "MPO", save_all=True, append_images=[image.rotate(90)], quality=90)
    for mode, one in {
        "rgb": image,
        "rgba": clear,
        "grey": grey,
        "palette": few,
        "grey alpha": clear.convert("LA"),
    }.items():
        yield f"{mode}.png", _saved(one, "PNG")
    yield "deep.png", _saved(grey.convert("I").point(lambda value: value * 257).convert("I;16"), "PNG")
    yield "one bit.png", _saved(image.convert("1"), "PNG")
    yield "clear.webp", _saved(clear, "WEBP", quality=85)
    yield "lossless.webp", _saved(image, "WEBP", lossless=True)
    yield "picture.avif", _saved(image, "AVIF", quality=80)
    for kind in HEIC_KINDS:
        yield f"{kind}.heic", (HEIC_FILES / f"{kind}.heic").read_bytes()
    yield "still.gif", _saved(few, "GIF")
    frames = [image, image.rotate(120), image.rotate(240)]
    for pillow_format, ending in {"GIF": "gif", "WEBP": "webp", "PNG": "png", "AVIF": "avif"}.items():
        more = {"save_all": True, "append_images": frames[1:], "duration": [70, 0, 130]}
        yield f"moving.{ending}", _saved(frames[0], pillow_format, **more)
    yield from _with_our_writers()


def _with_our_writers() -> Iterator[tuple[str, bytes]]:
    pixels = rows(rgb)
    small = Page(samples=rows(lambda x, y: (x, y, 9), 8, 8), photometric=tiff_files.RGB, tags={254: (1,)})
    deep = [[tuple(257 * value for value in pixel) for pixel in row] for row in pixels]
    yield "plain.tif", tiff_files.tiff(Page(samples=pixels, photometric=tiff_files.RGB))
    yield (
        "planes.tif",
        tiff_files.tiff(
            Page(samples=pixels, photometric=tiff_files.RGB, planar=2, compression=tiff_files.LZW)
        ),
    )
    yield (
        "deep.tif",
        tiff_files.tiff(
            Page(samples=deep, photometric=tiff_files.RGB, bits=16, compression=tiff_files.DEFLATE)
        ),
    )
    yield (
        "thumbnail.tif",
        tiff_files.tiff(
            small, Page(samples=pixels, photometric=tiff_files.RGB, compression=tiff_files.PACKBITS)
        ),
    )
    planes = [[[pixel[channel] for pixel in row] for row in pixels] for channel in range(3)]
    yield "plain.psd", psd_files.psd(Document(planes=planes, mode=psd_files.RGB))
    yield "packed.psd", psd_files.psd(Document(planes=planes, mode=psd_files.RGB, compression=1))
    numbers = [[r << 16 | g << 8 | b for r, g, b in row] for row in pixels]
    yield "plain.bmp", bitmap_files.bmp(Bitmap(pixels=numbers, bits=24))
    yield (
        "no alpha.bmp",
        bitmap_files.bmp(
            Bitmap(
                pixels=numbers, bits=32, header=108, compression=3, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF << 24)
            )
        ),
    )
    yield "icon.ico", bitmap_files.ico(Icon(bitmap=Bitmap(pixels=numbers, bits=32), says=(37, 29, 32)))


def _strange() -> dict[str, bytes]:
    return {
        "empty.jpg": b"",
        "page.jpg": b"<!DOCTYPE html><title>Not found</title>",
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "mosaic.dng": tiff_files.tiff(
            Page(samples=rows(lambda x, y: (x + y,)), photometric=tiff_files.CFA, tags={50706: (1,)})
        ),
        "no picture.psd": psd_files.psd(
            Document(planes=[[[255] * 9] * 9] * 3, mode=3, resources=psd_files.merged_data(has_real=False))
        ),
        "words.png": b"\x89PNG\r\n\x1a\n" + b"and then words" * 9,
    }


def _damaged(data: bytes) -> bytes:
    """Every 97th byte of the second half is another."""
    found = bytearray(data)
    for at in range(len(data) // 2, len(data), 97):
        found[at] ^= 0x55
    return bytes(found)


def _saved(image: Image.Image, pillow_format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, pillow_format, **options)
    return file.getvalue()
