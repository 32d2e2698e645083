"""PNG and APNG: W3C Recommendation, third edition."""

import struct

from PIL import Image, PngImagePlugin

from imagebatch_jobrunner.decoder import metadata, png_rows
from imagebatch_jobrunner.decoder.colour.spaces import SRGB, ColourSpace, by_gamma, by_h273
from imagebatch_jobrunner.decoder.containers import png_chunks
from imagebatch_jobrunner.decoder.formats.encoder import EncodeOptions, Encoder, animation, save
from imagebatch_jobrunner.decoder.formats.format import Format, Parts, Size, begins, opener
from imagebatch_jobrunner.decoder.picture import Picture

_EIGHT_BITS = 8
_KEPT = frozenset(
    b"IHDR PLTE IDAT IEND tRNS acTL fcTL fdAT "
    b"cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD hIST pHYs sPLT".split()
)


def colour_space(data: bytes, has_profile: bool) -> ColourSpace | None:
    """By 4.3 and 11.3.2: cICP wins over iCCP, that over sRGB, that over gAMA and cHRM. Also for an icon's
    PNG.
    """
    chunks = png_chunks.before_pixels(data)
    if b"cICP" in chunks and len(chunks[b"cICP"]) == 4:
        primaries, transfer, _, full_range = chunks[b"cICP"]
        found = by_h273(primaries, transfer, "png", is_full=full_range != 0)
        if found is not None:
            return found
    if has_profile:
        return None
    if b"sRGB" in chunks:
        return SRGB
    gamma = struct.unpack(">I", chunks[b"gAMA"])[0] if len(chunks.get(b"gAMA", b"")) == 4 else 0
    points = struct.unpack(">8I", chunks[b"cHRM"]) if len(chunks.get(b"cHRM", b"")) == 32 else ()
    return by_gamma(gamma / 100_000, tuple(point / 100_000 for point in points))


def _is_deep(data: bytes, _image: Image.Image) -> bool:
    return png_chunks.header(data).depth > _EIGHT_BITS


def _load(image: Image.Image, data: bytes, _reduced_to: Size | None) -> None:
    found = png_rows.decoded(data)
    if found is None:
        image.load()
    else:
        image.im, image.tile = found.im, []  # type: ignore[attr-defined]


def _strip(data: bytes, orientation: int) -> Parts:
    parts: Parts = [png_chunks.SIGNATURE]
    for kind, chunk in png_chunks.chunks(data):
        if kind in _KEPT:
            parts.append(chunk)
        if kind == b"IHDR" and orientation != 1:
            parts.append(png_chunks.chunk(b"eXIf", metadata.minimal_exif(orientation)))
    return parts


def _encode(picture: Picture, options: EncodeOptions) -> bytes:
    text = PngImagePlugin.PngInfo()
    if picture.metadata.xmp:
        text.add_itxt("XML:com.adobe.xmp", picture.metadata.xmp.decode("utf-8", "replace"))
    return save(
        picture,
        "PNG",
        optimize=options.optimize,
        exif=picture.metadata.exif,
        pnginfo=text,
        **animation(picture),
    )


FORMAT = Format(
    name="png",
    matches=begins(png_chunks.SIGNATURE),
    open=opener(PngImagePlugin.PngImageFile),
    repaired=png_chunks.without_damaged_extras,
    colour_space=colour_space,
    is_deep=_is_deep,
    load=_load,
    can_be_animated=True,
    strip=_strip,
    encoder=Encoder(encode=_encode, has_quality=False),
)
