"""The content beside the picture that a result has lost: further pages, a gain map. Used by `smallest`."""

from imagebatch_jobrunner.decoder.formats.format import Format

PAGES = "pages_dropped"
GAIN_MAP = "gain_map_dropped"


def notes(before: bytes, after: bytes, image_format: Format) -> tuple[str, ...]:
    """Notes of what `before`, a file of that format, held and the result `after` does not."""
    if after is before:
        return ()
    if image_format.has_gain_map(before) and not image_format.has_gain_map(after):
        return (GAIN_MAP,)
    if _has_more_pictures(before, image_format) and not _has_more_pictures(after, image_format):
        return (PAGES,)
    return ()


def _has_more_pictures(data: bytes, image_format: Format) -> bool:
    """Whether there are further pages of a TIFF, pictures of an MPO, layers of a PSD or sizes of an icon."""
    try:
        return image_format.has_more_pictures(data)
    except Exception:  # noqa: BLE001 - the first page is decoded; a damaged second one is none
        return False
