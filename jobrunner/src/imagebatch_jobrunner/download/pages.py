"""Pages of services for sharing files: a link that shows one has no picture behind it, whoever asks.

Used by `fetch`. Other pages are refused by the codec: they are no image.
"""

import re
from urllib.parse import urlsplit

from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.errors import FetchError

_LOOKED_AT_BYTES = 64 * 1024
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?:<!--(?:(?!-->).){0,2000}+-->\s*+|<\?xml[^>]{0,200}+>\s*+)*+<(?:!doctype\s+html|html)",
    re.IGNORECASE | re.DOTALL,
)
_TITLE = re.compile(rb"<title[^>]*>(.{0,500}?)</title", re.IGNORECASE | re.DOTALL)
_BY_TITLE = re.compile(
    r"Google (?:Drive|Photos|Fotos|Docs)|Dropbox|OneDrive|SharePoint|iCloud|WeTransfer|MEGA\b|pCloud|Yandex"
)
_BY_HOST = {
    "drive.google.com": "Google Drive",
    "drive.usercontent.google.com": "Google Drive",
    "docs.google.com": "Google Docs",
    "photos.google.com": "Google Photos",
    "accounts.google.com": "Google that asks to sign in",
    "dropbox.com": "Dropbox",
    "onedrive.live.com": "OneDrive",
    "1drv.ms": "OneDrive",
    "sharepoint.com": "SharePoint",
    "login.live.com": "Microsoft that asks to sign in",
    "login.microsoftonline.com": "Microsoft that asks to sign in",
    "icloud.com": "iCloud",
    "wetransfer.com": "WeTransfer",
    "box.com": "Box",
    "mega.nz": "MEGA",
    "pcloud.com": "pCloud",
}


def refuse_shared(data: bytes, url: str) -> None:
    """Raise FetchError when this is not the file but a service's page about it."""
    start = data[:_LOOKED_AT_BYTES]
    if not _PAGE.match(start):
        return
    service = _of_host(urlsplit(url).hostname or "") or _of_title(start)
    if service:
        raise FetchError(
            ErrorCode.SHARE_LINK,
            f"the link shows a page of {service}, not the picture: share the picture itself with everybody, "
            "and use the link that downloads it",
        )


def _of_host(host: str) -> str | None:
    return next(
        (name for known, name in _BY_HOST.items() if host == known or host.endswith(f".{known}")), None
    )


def _of_title(start: bytes) -> str | None:
    title = _TITLE.search(start)
    found = _BY_TITLE.search(title[1].decode("utf-8", "replace")) if title else None
    return found[0] if found else None
