"""GIF: GIF89a specification (CompuServe, 1990)."""

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import GifImagePlugin

from imagebatch_jobrunner.decoder.formats.encoder import EncodeOptions, Encoder, animation, save
from imagebatch_jobrunner.decoder.formats.format import Format, Parts, begins, opener
from imagebatch_jobrunner.decoder.picture import Picture

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_CONTROL, _APPLICATION = 0xF9, 0xFF
_KEPT_APPLICATIONS = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")


def _plays(loop: int | None) -> int:
    """GIF counts repetitions after the first play, and plays once without a count."""
    if loop is None:
        return 1
    return int(loop) + 1 if loop else 0


def _strip(data: bytes, _orientation: int) -> Parts:
    at = 13 + _colour_table_bytes(data[10])
    parts: Parts = [data[:at]]
    parts += [data[block.start : block.end] for block in _blocks(data, at) if block.is_kept]
    return [*parts, b";"]


@dataclass(frozen=True, slots=True)
class _Block:
    start: int
    end: int
    is_kept: bool


def _blocks(data: bytes, at: int) -> Iterator[_Block]:
    """By 18 to 26. Raises ValueError or IndexError for what is no block."""
    while at < len(data) and data[at] != _TRAILER:
        if data[at] == _EXTENSION:
            end = _sub_blocks_end(data, at + 2)
            yield _Block(at, end, _is_kept(data[at + 1], data[at + 3 : at + 14]))
        elif data[at] == _IMAGE:
            end = _sub_blocks_end(data, at + 11 + _colour_table_bytes(data[at + 9]))
            yield _Block(at, end, is_kept=True)
        else:
            raise ValueError("what follows is no block")
        at = end


def _colour_table_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 0x07) + 1) if flags & 0x80 else 0


def _sub_blocks_end(data: bytes, at: int) -> int:
    while data[at]:
        at += 1 + data[at]
    return at + 1


def _is_kept(label: int, application: bytes) -> bool:
    return label == _CONTROL or (label == _APPLICATION and application in _KEPT_APPLICATIONS)


def _encode(picture: Picture, options: EncodeOptions) -> bytes:
    timing = animation(picture)
    if picture.plays == 1:
        timing.pop("loop", None)
    elif picture.plays > 1:
        timing["loop"] = picture.plays - 1
    return save(picture, "GIF", optimize=options.optimize, **timing)


FORMAT = Format(
    name="gif",
    matches=begins(b"GIF87a", b"GIF89a"),
    open=opener(GifImagePlugin.GifImageFile),
    can_move=True,
    plays=_plays,
    strip=_strip,
    encoder=Encoder(encode=_encode, has_quality=False),
)
