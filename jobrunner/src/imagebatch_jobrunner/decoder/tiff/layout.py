"""Which layouts of a TIFF page are decoded: those that tests/jobrunner/test_layouts_tiff.py shows to be
right.

Everything else is refused by its name, on the header. Used by `pages` and the format `tiff`.
"""

from dataclasses import dataclass

from imagebatch_jobrunner.decoder.containers import tiff_directories as tags
from imagebatch_jobrunner.decoder.containers.tiff_directories import Directory

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR, LAB = 0, 1, 2, 3, 4, 5, 6, 8
CFA, LINEAR_RAW = 32803, 34892
RAW, LZW, OLD_JPEG, JPEG, DEFLATE, PACKBITS, OLD_DEFLATE = 1, 5, 6, 7, 8, 32773, 32946
LZMA, ZSTD = 34925, 50000
SEPARATE = 2

_COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3, LAB: 3}
_GREY_BITS = frozenset({1, 2, 4, 8, 16})
_BITS = {
    WHITE_IS_ZERO: _GREY_BITS, BLACK_IS_ZERO: _GREY_BITS, PALETTE: frozenset({1, 2, 4, 8}),
    RGB: frozenset({8, 16}), CMYK: frozenset({8, 16}), YCBCR: frozenset({8}), LAB: frozenset({8}),
}  # fmt: skip
_NAMES = {
    MASK: "a transparency mask", 9: "ICC L*a*b*", 10: "ITU L*a*b*", 32844: "LogL", 32845: "LogLuv",
    CFA: "a camera's raw mosaic", LINEAR_RAW: "a camera's linear raw data", 51177: "a depth map",
}  # fmt: skip
_FAX = frozenset({2, 3, 4})
_PREDICTABLE = frozenset({LZW, DEFLATE, OLD_DEFLATE, LZMA, ZSTD})
_COMPRESSIONS = frozenset({RAW, OLD_JPEG, JPEG, PACKBITS}) | _FAX | _PREDICTABLE
_JPEG_COLOURS = {OLD_JPEG: frozenset({YCBCR}), JPEG: frozenset({BLACK_IS_ZERO, RGB, CMYK, YCBCR})}
_NO_ALPHA, _PREMULTIPLIED = 0, 1
_FLOATS = frozenset({3, 6})
_SIGNED = frozenset({2, 5})


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a page's samples lie in the file."""

    photometric: int
    bits: tuple[int, ...]
    formats: frozenset[int]
    compression: int
    predictor: int
    fill_order: int
    extra: tuple[int, ...]
    ink_set: int
    is_separate: bool
    is_big_endian_big: bool

    @property
    def colours(self) -> int:
        return _COLOURS.get(self.photometric, 1)

    @property
    def alphas(self) -> int:
        """How many of the extra samples are not just left out."""
        return sum(1 for kind in self.extra if kind != _NO_ALPHA)

    @property
    def droppable(self) -> int:
        """How many samples at the end stand for nothing that is shown."""
        kept = max((place for place, kind in enumerate(self.extra, 1) if kind != _NO_ALPHA), default=0)
        return len(self.extra) - kept


def layout(page: Directory) -> Layout:
    """What the page's tags say, with TIFF's defaults."""
    compression = page.value(tags.COMPRESSION, RAW)
    photometric = page.value(tags.PHOTOMETRIC, WHITE_IS_ZERO)
    samples = page.value(tags.SAMPLES, 3 if compression == OLD_JPEG else 1)
    bits = page.values(tags.BITS) or (1,)
    return Layout(
        photometric=photometric,
        bits=bits[:samples] if len(bits) > 1 else bits * min(samples, 64),
        formats=frozenset(page.values(tags.SAMPLE_FORMAT) or (1,)),
        compression=compression,
        predictor=page.value(tags.PREDICTOR, 1) if compression in _PREDICTABLE else 1,
        fill_order=page.value(tags.FILL_ORDER, 1),
        extra=page.values(tags.EXTRA_SAMPLES),
        ink_set=page.value(tags.INK_SET, 1) if photometric == CMYK else 1,
        is_separate=page.value(tags.PLANAR, 1) == SEPARATE and samples > 1,
        is_big_endian_big=page.is_big and page.order == ">",
    )


def refusal(of: Layout) -> str | None:
    """What is rare about it, as the end of a sentence; None for what is decoded."""
    return next((words for check in _CHECKS if (words := check(of)) is not None), None)


def _container(of: Layout) -> str | None:
    return "a big-endian BigTIFF" if of.is_big_endian_big else None


def _compression(of: Layout) -> str | None:
    name = f"compression {of.compression}"
    if of.compression not in _COMPRESSIONS:
        return name
    jpeg = _JPEG_COLOURS.get(of.compression)
    if jpeg is not None and (of.photometric not in jpeg or of.is_separate or of.extra):
        return f"{name} of photometric {of.photometric}" + (", in planes" if of.is_separate else "")
    if of.compression in _FAX and of.bits != (1,):
        return f"{name} of {_pixels(of)}"
    return None


def _photometric(of: Layout) -> str | None:
    if of.photometric not in _COLOURS:
        return _NAMES.get(of.photometric, f"photometric {of.photometric}")
    if of.photometric == LAB and of.is_separate:
        return "L*a*b* in planes"
    return "inks other than CMYK" if of.ink_set != 1 else None


def _samples(of: Layout) -> str | None:
    if of.formats & _FLOATS:
        return f"{_pixels(of)}, floating point"
    if of.formats & _SIGNED:
        return f"{_pixels(of)}, signed"
    if of.formats != {1} or len(set(of.bits)) != 1 or of.bits[0] not in _BITS[of.photometric]:
        return _pixels(of)
    if of.predictor not in {1, 2}:
        return f"predictor {of.predictor}"
    return None


def _extra(of: Layout) -> str | None:
    """Extra samples: one alpha at most, after the colours; and only as far as they are read rightly."""
    beside = len(of.bits) - of.colours
    is_unsaid_alpha = of.photometric == RGB and beside == 1 and not of.extra and not of.is_separate
    if beside != len(of.extra) and not is_unsaid_alpha:
        return f"{_pixels(of)} that it does not explain"
    if of.alphas > 1 or (of.alphas and of.extra[0] == _NO_ALPHA):
        return f"{_pixels(of)}, with more than one extra channel"
    kept = beside - of.droppable if of.is_separate else beside
    if kept and not _reads_extra(of, kept):
        return f"{_pixels(of)}, with an extra channel" + (", in planes" if of.is_separate else "")
    return None


def _reads_extra(of: Layout, kept: int) -> bool:
    bits = of.bits[0]
    if of.photometric == RGB:
        return kept <= 3 if bits == 8 else kept == 1
    if of.is_separate:
        return False
    if of.photometric in {WHITE_IS_ZERO, BLACK_IS_ZERO, PALETTE}:
        is_premultiplied = of.extra[0] == _PREMULTIPLIED and of.photometric != BLACK_IS_ZERO
        return bits == 8 and kept == 1 and not is_premultiplied
    return of.photometric == CMYK and bits == 8 and kept <= 2 and not of.alphas


def _pixels(of: Layout) -> str:
    return f"pixels of {' + '.join(map(str, of.bits[:8]))} bits"


_CHECKS = (_container, _compression, _photometric, _samples, _extra)
