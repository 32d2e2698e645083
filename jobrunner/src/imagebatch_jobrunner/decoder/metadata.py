"""EXIF and XMP: the orientation, and what is kept when the user asks for it, made true for an upright
picture.

Used by `decode`; `strip` is its counterpart for pictures that are kept as they are.
"""

import re
from dataclasses import dataclass

from PIL import Image

ORIENTATION = 0x0112
"""The EXIF tag (EXIF 2.3, 4.6.4)."""

_XMP_ORIENTATION = re.compile(rb'tiff:Orientation="[0-9]"|<tiff:Orientation>[0-9]</tiff:Orientation>')
_XMP_KEYS = ("xmp", "XML:com.adobe.xmp")


@dataclass(frozen=True, slots=True)
class Metadata:
    """EXIF and XMP as blocks of bytes; empty where there are none."""

    exif: bytes = b""
    xmp: bytes = b""


NONE = Metadata()


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none or it can't be read.

    Like browsers, and unlike `Image.getexif`, it does not ask the XMP.
    """
    exif = Image.Exif()
    try:
        exif.load(image.info.get("exif", b""))
        found = exif.get(ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - damaged EXIF raises anything; the picture itself is fine
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def upright(image: Image.Image) -> Metadata:
    """The metadata of an opened image, saying that it needs no rotation any more."""
    return Metadata(_exif(image), _xmp(image))


def _exif(image: Image.Image) -> bytes:
    found = image.info.get("exif", b"")
    if not found:
        return b""
    exif = Image.Exif()
    try:
        exif.load(found)
        exif[ORIENTATION] = 1
        return exif.tobytes()
    except Exception:  # noqa: BLE001 - damaged EXIF raises anything; the picture itself is fine
        return b""


def _xmp(image: Image.Image) -> bytes:
    found = next((image.info[key] for key in _XMP_KEYS if image.info.get(key)), b"")
    block = found.encode() if isinstance(found, str) else bytes(found)
    return _XMP_ORIENTATION.sub(b"", block)


def minimal_exif(orientation: int) -> bytes:
    """The smallest TIFF block that says an orientation and nothing else (EXIF 2.3, 4.5.2)."""
    entry = ORIENTATION.to_bytes(2, "big") + b"\0\3" + b"\0\0\0\1" + orientation.to_bytes(2, "big") + b"\0\0"
    return b"MM\0*" + b"\0\0\0\x08" + b"\0\1" + entry + b"\0\0\0\0"
