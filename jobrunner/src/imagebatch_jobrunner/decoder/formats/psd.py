"""Photoshop documents: their merged picture, as the file means it.

By Adobe Photoshop File Formats Specification (November 2019). Pillow takes any fourth channel for
transparency and does not ask whether there is a merged picture, so the file is read here; Pillow's decoders
do the rest.
"""

import io
import struct
from dataclasses import dataclass
from itertools import accumulate

from PIL import (
    Image,
    ImageFile,
    ImagePalette,
    PsdImagePlugin,  # noqa: F401 - for `Image.open`
)

from imagebatch_jobrunner.decoder.errors import BAD_HEADER, corrupt, rare, truncated
from imagebatch_jobrunner.decoder.formats.format import Format, Opened, begins

_HEADER = struct.Struct(">4sH6xHIIHH")
_MODES = {0: "1", 1: "L", 2: "P", 3: "RGB", 4: "CMYK", 9: "LAB"}
_RAW_MODES = {"1": ("1;I",), "L": ("L",), "P": ("P",), "CMYK": ("C;I", "M;I", "Y;I", "K;I")}
"""Pillow's raw mode for each plane: a bitmap's 1 is black, and inks are stored as what they leave."""
_COLOURS = {"1": 1, "L": 1, "P": 1, "RGB": 3, "CMYK": 4, "LAB": 3}
_RARE_MODES = {7: "multichannel colours", 8: "duotone colours"}
_RAW, _RLE = 0, 1
_ICC_PROFILE, _TRANSPARENT_INDEX, _VERSION_INFO = 1039, 1047, 1057
_PALETTE_BYTES = 768


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The parts of a file. `layers` is below 0 where the first channel after the colours is the merged
    picture's transparency; else that one is a selection that somebody saved, or an ink.
    """

    channels: int
    height: int
    width: int
    depth: int
    mode: int
    palette: bytes
    resources: dict[int, bytes]
    layers: int
    compression: int
    pixels_at: int

    @property
    def row_bytes(self) -> int:
        return (self.width * self.depth + 7) // 8

    @property
    def has_merged_picture(self) -> bool:
        """Without "maximize compatibility" Photoshop saves a white one; resource 1057 says so."""
        version_info = self.resources.get(_VERSION_INFO, b"")
        return len(version_info) < 5 or version_info[4] != 0


def _open(data: bytes) -> Opened:
    """Raises CodecError `unsupported_format`, `truncated` or `corrupt`."""
    document = _read(data)
    _check(document)
    has_alpha = document.layers < 0 and document.channels > _COLOURS[_MODES[document.mode]]
    return Opened(_Picture(data, document, has_alpha=has_alpha))


def _read(data: bytes) -> Document:
    """The file's sections; nothing is decoded. Raises CodecError."""
    try:
        _, _, channels, height, width, depth, mode = _HEADER.unpack_from(data)
        palette, at = _block(data, _HEADER.size)
        resources, at = _block(data, at)
        layers, at = _block(data, at)
        (compression,) = struct.unpack_from(">H", data, at)
    except struct.error:
        raise truncated() from None
    return Document(
        channels=channels,
        height=height,
        width=width,
        depth=depth,
        mode=mode,
        palette=palette,
        resources=_resources(resources),
        layers=struct.unpack_from(">h", layers, 4)[0] if len(layers) >= 6 and any(layers[:4]) else 0,
        compression=compression,
        pixels_at=at + 2,
    )


def _block(data: bytes, at: int) -> tuple[bytes, int]:
    """A section behind its length, and where the next one begins."""
    (length,) = struct.unpack_from(">I", data, at)
    return data[at + 4 : at + 4 + length], at + 4 + length


def _resources(block: bytes) -> dict[int, bytes]:
    """Image resource blocks by their number; a last one may be cut off. Raises CodecError `corrupt`."""
    found, at = {}, 0
    while at + 12 <= len(block):
        if not block[at : at + 4].isalpha() and block[at : at + 4] != b"8BIM":
            raise corrupt(BAD_HEADER)
        (number,) = struct.unpack_from(">H", block, at + 4)
        name_bytes = 1 + block[at + 6]
        start = at + 6 + name_bytes + name_bytes % 2
        content, at = _block(block, start) if start + 4 <= len(block) else (b"", len(block))
        found[number] = content
        at += len(content) % 2
    return found


def _check(document: Document) -> None:
    if not document.has_merged_picture:
        raise rare("psd", "saved without its merged picture (save it with maximize compatibility)")
    if document.mode not in _MODES:
        raise rare("psd", _RARE_MODES.get(document.mode, f"colour mode {document.mode}"))
    if document.depth != (1 if document.mode == 0 else 8):
        raise rare("psd", f"{document.depth} bits a channel")
    if document.compression not in {_RAW, _RLE}:
        raise rare("psd", f"compression {document.compression}")
    if document.channels < _COLOURS[_MODES[document.mode]] or not document.width or not document.height:
        raise corrupt(BAD_HEADER)
    if (
        document.layers < 0
        and document.mode not in {1, 3}
        and document.channels > _COLOURS[_MODES[document.mode]]
    ):
        raise rare("psd", "transparency in colours other than RGB and grey")
    if document.mode == 2 and len(document.palette) != _PALETTE_BYTES:
        raise corrupt("its palette is damaged")


class _Picture(ImageFile.ImageFile):
    """The merged picture as an image of Pillow; grey with transparency is loaded as RGBA."""

    format = "PSD"
    format_description = "Adobe Photoshop"

    def __init__(self, data: bytes, document: Document, *, has_alpha: bool) -> None:
        self._document, self._has_alpha = document, has_alpha
        super().__init__(io.BytesIO(data))

    def _open(self) -> None:
        document = self._document
        mode = _MODES[document.mode]
        self._mode = "RGBA" if self._has_alpha else mode
        self._size = document.width, document.height
        if mode == "P":
            self.palette = ImagePalette.raw("RGB;L", document.palette)
            index = document.resources.get(_TRANSPARENT_INDEX, b"")
            if len(index) == 2 and int.from_bytes(index, "big") < 256:
                self.info["transparency"] = int.from_bytes(index, "big")
        if _ICC_PROFILE in document.resources:
            self.info["icc_profile"] = document.resources[_ICC_PROFILE]
        bands = "RGBA" if self._has_alpha else mode
        numbers = (0, 0, 0, 1) if self._has_alpha and mode == "L" else tuple(range(len(bands)))
        self.tile = self._planes(numbers, _RAW_MODES.get(bands, tuple(bands)))

    def _planes(self, numbers: tuple[int, ...], raw_modes: tuple[str, ...]) -> list[ImageFile._Tile]:
        """Where the plane of each band is; bands may share one. Raises CodecError `truncated`."""
        starts = self._starts()
        assert self.fp is not None
        if starts[max(numbers) + 1] > self.fp.seek(0, io.SEEK_END):
            raise truncated()
        is_packed = self._document.compression == _RLE
        return [
            ImageFile._Tile(  # noqa: SLF001 - as every plugin makes them
                "packbits" if is_packed else "raw",
                (0, 0, *self._size),
                starts[number],
                (raw_mode,) if is_packed else (raw_mode, 0, 1),
            )
            for number, raw_mode in zip(numbers, raw_modes, strict=True)
        ]

    def _starts(self) -> list[int]:
        """Where each channel's plane begins, and where the last one ends."""
        document = self._document
        if document.compression == _RAW:
            lengths = [document.row_bytes * document.height] * document.channels
            return list(accumulate(lengths, initial=document.pixels_at))
        assert self.fp is not None
        self.fp.seek(document.pixels_at)
        table = struct.Struct(f">{document.channels * document.height}H")
        row_lengths = self.fp.read(table.size)
        if len(row_lengths) < table.size:
            raise truncated()
        rows = table.unpack(row_lengths)
        planes = range(0, len(rows), document.height)
        lengths = [sum(rows[first : first + document.height]) for first in planes]
        return list(accumulate(lengths, initial=document.pixels_at + table.size))


def _has_more_pictures(data: bytes) -> bool:
    with Image.open(io.BytesIO(data), formats=["PSD"]) as image:
        return int(getattr(image, "n_frames", 1)) > 1


FORMAT = Format(name="psd", matches=begins(b"8BPS\0\1"), open=_open, has_more_pictures=_has_more_pictures)
