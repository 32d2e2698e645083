"""Every layout of a Photoshop document comes out right or is refused by its name."""

from collections.abc import Iterator
from typing import Any

import pytest

from imagebatch_testing import psd_files as psd
from imagebatch_testing.pixels import (
    CLEAR,
    CLEAR_GREYS,
    COLOURS,
    GREYS,
    HEIGHT,
    WIDTH,
    Rows,
    alpha,
    grey,
    outcome,
    rows,
)  # fmt: skip
from imagebatch_testing.psd_files import Document, Plane, merged_data

RED, GREEN, BLUE = ([[pixel[channel] for pixel in row] for row in COLOURS] for channel in range(3))
SHADES: Plane = [[grey(x, y) for x in range(WIDTH)] for y in range(HEIGHT)]
ALPHA: Plane = [[alpha(x, y) for x in range(WIDTH)] for y in range(HEIGHT)]
SELECTION: Plane = [[255 * (x > y) for x in range(WIDTH)] for y in range(HEIGHT)]
FULL: Plane = [[255] * WIDTH for _ in range(HEIGHT)]
BITS: Plane = [[int((x // 3 + y // 2) % 2) for x in range(WIDTH)] for y in range(HEIGHT)]
INDEXES: Plane = [[(x * y + x) % 256 for x in range(WIDTH)] for y in range(HEIGHT)]
PALETTE = [((i * 83) % 256, (i * 37 + 11) % 256, 255 - i) for i in range(256)]
PALETTE_BYTES = bytes(colour[channel] for channel in range(3) for colour in PALETTE)
INDEXED: Rows = [[PALETTE[index] for index in row] for row in INDEXES]


def inks() -> list[Plane]:
    """CMY without black, stored as what the inks leave; to Pillow's formula that is RGB."""
    return [RED, GREEN, BLUE, FULL]


def right() -> Iterator[tuple[str, Document, Rows]]:
    colours = [RED, GREEN, BLUE]
    for compression in (0, 1):
        words = "run lengths" if compression else "raw"

        def cell(
            name: str,
            wanted: Rows,
            planes: list[Plane],
            mode: int,
            words: str = words,
            compression: int = compression,
            **more: Any,
        ) -> tuple[str, Document, Rows]:
            return (
                f"{name}, {words}",
                Document(planes=planes, mode=mode, compression=compression, **more),
                wanted,
            )

        yield cell("bitmap", rows(lambda x, y: 3 * (255 * (1 - BITS[y][x]),)), [BITS], psd.BITMAP, depth=1)
        yield cell("grey", GREYS, [SHADES], psd.GREY)
        yield cell("grey with a selection", GREYS, [SHADES, SELECTION], psd.GREY, layers=2)
        yield cell("grey with transparency", CLEAR_GREYS, [SHADES, ALPHA], psd.GREY, layers=-2)
        yield cell("indexed", INDEXED, [INDEXES], psd.INDEXED, palette=PALETTE_BYTES)
        clear = rows(lambda x, y: (*INDEXED[y][x], 255 * (INDEXES[y][x] != 3)))
        yield cell(
            "indexed with a transparent index",
            clear,
            [INDEXES],
            psd.INDEXED,
            palette=PALETTE_BYTES,
            resources={psd.TRANSPARENT_INDEX: b"\0\3"},
        )
        yield cell("RGB", COLOURS, colours, psd.RGB, resources=merged_data(has_real=True))
        yield cell("RGB of layers", COLOURS, colours, psd.RGB, layers=3)
        yield cell("RGB with transparency", CLEAR, [*colours, ALPHA], psd.RGB, layers=-1)
        yield cell(
            "RGB with transparency and a selection", CLEAR, [*colours, ALPHA, SELECTION], psd.RGB, layers=-1
        )
        yield cell("RGB with a selection", COLOURS, [*colours, SELECTION], psd.RGB)
        yield cell("layers with a selection", COLOURS, [*colours, SELECTION], psd.RGB, layers=2)
        yield cell("layers with two selections", COLOURS, [*colours, SELECTION, ALPHA], psd.RGB, layers=1)
        yield cell("said to be transparent, without a channel for it", COLOURS, colours, psd.RGB, layers=-1)
        yield cell("CMYK", COLOURS, inks(), psd.CMYK)
        yield cell("CMYK with a selection", COLOURS, [*inks(), SELECTION], psd.CMYK, layers=1)
        yield cell("Lab without colour", lab_greys(), [SHADES, *2 * [[[128] * WIDTH] * HEIGHT]], psd.LAB)


def lab_greys() -> Rows:
    """CIE 1976 lightness of a grey (ISO/CIE 11664-4), as sRGB."""
    return rows(lambda x, y: 3 * (_srgb_of_lightness(grey(x, y) / 255 * 100),))


def _srgb_of_lightness(lightness: float) -> int:
    light = ((lightness + 16) / 116) ** 3 if lightness > 8 else lightness / 903.3
    return round(255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055))


RIGHT = list(right())


@pytest.mark.parametrize(
    ("document", "wanted"), [cell[1:] for cell in RIGHT], ids=[name for name, *_ in RIGHT]
)
def test_a_layout_that_is_decoded_comes_out_right(document: Document, wanted: Rows) -> None:
    found = outcome(psd.psd(document), wanted)
    assert found.refusal == ""
    assert found.mean <= 0.7


def deep(plane: Plane, by: int) -> Plane:
    return [[value * by for value in row] for row in plane]


REFUSED = {
    "no merged picture": (Document(planes=[FULL] * 3, mode=psd.RGB, layers=2, resources=merged_data(has_real=False)), "saved without its merged picture"),
    "multichannel": (Document(planes=[RED, GREEN], mode=psd.MULTICHANNEL), "multichannel colours"),
    "duotone": (Document(planes=[SHADES], mode=psd.DUOTONE), "duotone colours"),
    "mode 5": (Document(planes=[SHADES], mode=5), "colour mode 5"),
    "16 bits": (Document(planes=[deep(SHADES, 257)], mode=psd.GREY, depth=16), "16 bits a channel"),
    "16 bits, run lengths": (Document(planes=[deep(RED, 257)] * 3, mode=psd.RGB, depth=16, compression=1), "16 bits a channel"),
    "32 bits": (Document(planes=[deep(RED, 1 << 24)] * 3, mode=psd.RGB, depth=32), "32 bits a channel"),
    "ZIP": (Document(planes=[RED, GREEN, BLUE], mode=psd.RGB, compression=2), "compression 2"),
    "ZIP with prediction": (Document(planes=[RED, GREEN, BLUE], mode=psd.RGB, compression=3), "compression 3"),
    "transparent CMYK": (Document(planes=[*inks(), ALPHA], mode=psd.CMYK, layers=-1), "transparency in colours other than RGB and grey"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_any_other_layout_is_refused_by_its_name(name: str) -> None:
    document, words = REFUSED[name]
    assert outcome(psd.psd(document), COLOURS).refusal.startswith(
        f"unsupported_format: the file is PSD of a rare kind: {words}"
    )


@pytest.mark.parametrize("compression", [0, 1])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.9])
def test_a_cut_document_is_truncated(compression: int, part: float) -> None:
    data = psd.psd(Document(planes=[RED, GREEN, BLUE], mode=psd.RGB, compression=compression))
    assert outcome(data[: int(len(data) * part)], COLOURS).refusal.startswith("truncated")
