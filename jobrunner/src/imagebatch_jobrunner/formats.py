"""The table of image formats: one line for each format that is decoded. Read by both sides.

How the files of a format are recognised, opened, stripped and encoded stands in the module of that name in
`imagebatch_jobrunner.decoder.formats`, which only codec processes load.

The table is closed on purpose: decoders that a shop does not need (EPS, FITS, JPEG 2000 …) only add ways
to be attacked. Its order is that in which a file is compared with the formats.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileType:
    """What a format and its stored files are called."""

    name: str
    content_type: str
    extension: str


FORMATS = (
    FileType("jpeg", "image/jpeg", "jpg"),
    FileType("png", "image/png", "png"),
    FileType("webp", "image/webp", "webp"),
    FileType("gif", "image/gif", "gif"),
    FileType("avif", "image/avif", "avif"),
    FileType("heic", "image/heic", "heic"),
    FileType("bmp", "image/bmp", "bmp"),
    FileType("tiff", "image/tiff", "tif"),
    FileType("ico", "image/vnd.microsoft.icon", "ico"),
    FileType("psd", "image/vnd.adobe.photoshop", "psd"),
)
BY_NAME = {one.name: one for one in FORMATS}
