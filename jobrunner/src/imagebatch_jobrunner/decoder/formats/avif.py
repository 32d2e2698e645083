"""AVIF: ISO/IEC 23000-22 within the boxes of ISO/IEC 14496-12. Its metadata are blanked in place.

An item can't be cut out without moving every offset behind it, so its bytes are overwritten: the file
keeps its length and its picture, and says nothing. The rotation is a property of the picture (`irot`,
`imir`) and stays.
"""

from PIL import AvifImagePlugin, Image

from imagebatch_jobrunner.decoder import quality
from imagebatch_jobrunner.decoder.colour.spaces import ColourSpace, by_h273
from imagebatch_jobrunner.decoder.containers import iso_boxes, iso_items
from imagebatch_jobrunner.decoder.containers.iso_boxes import HEIC_BRANDS
from imagebatch_jobrunner.decoder.containers.iso_items import EXIF, XMP, Extent
from imagebatch_jobrunner.decoder.formats.encoder import EncodeOptions, Encoder, animation, save
from imagebatch_jobrunner.decoder.formats.format import Format, Parts, opener
from imagebatch_jobrunner.decoder.picture import Picture
from imagebatch_jobrunner.decoder.quality import SourceQuality

_BRANDS = frozenset({b"avif", b"avis"})
_OTHER_MAJOR_BRANDS = HEIC_BRANDS - {b"mif1", b"msf1"}
_FTYP_BYTES = 64
_EMPTY_EXIF = b"\0\0\0\0" + b"MM\0*" + b"\0\0\0\x08" + b"\0\0" + b"\0\0\0\0"
"""ISO/IEC 23008-12, A.2.1: an offset, then a TIFF block without tags."""

_ENCODING_BYTES = 33


def _matches(head: bytes) -> bool:
    found = iso_boxes.brands(head)
    return bool(_BRANDS.intersection(found)) and found[0] not in _OTHER_MAJOR_BRANDS


def _quality(_data: bytes, _image: Image.Image) -> SourceQuality:
    return quality.ASSUMED


def _colour_space(data: bytes, has_profile: bool) -> ColourSpace | None:
    """By the nclx box, where there is no ICC profile; the decoder gives full range."""
    found = None if has_profile else iso_boxes.nclx(data)
    return None if found is None else by_h273(*found, "avif", is_full=True)


def _strip(data: bytes, _orientation: int) -> Parts:
    extents = iso_items.metadata_extents(data)
    if not extents:
        return [data]
    blanked = bytearray(data)
    for extent in extents:
        _blank(blanked, extent)
    return [bytes(blanked)]


def _blank(data: bytearray, extent: Extent) -> None:
    if extent.start + extent.length > len(data):
        raise ValueError("an item lies outside the file")
    filler = b" " if extent.kind == XMP else b"\0"
    text = _EMPTY_EXIF if extent.kind == EXIF and extent.length >= len(_EMPTY_EXIF) else b""
    data[extent.start : extent.start + extent.length] = text + filler * (extent.length - len(text))


def _has_gain_map(data: bytes) -> bool:
    return b"tmap" in data[:_FTYP_BYTES]


def _encode(picture: Picture, options: EncodeOptions) -> bytes:
    return save(
        picture,
        "AVIF",
        quality=options.quality,
        speed=6 if options.optimize else 9,
        max_threads=1,
        exif=picture.metadata.exif,
        xmp=picture.metadata.xmp,
        **animation(picture),
    )


FORMAT = Format(
    name="avif",
    matches=_matches,
    open=opener(AvifImagePlugin.AvifImageFile),
    quality=_quality,
    colour_space=_colour_space,
    can_be_animated=True,
    end=iso_boxes.end,
    strip=_strip,
    has_gain_map=_has_gain_map,
    encoder=Encoder(
        encode=_encode, has_grey=False, opaque_bytes=_ENCODING_BYTES, transparent_bytes=_ENCODING_BYTES
    ),
)
