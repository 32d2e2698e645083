"""Share links of Google Drive, Dropbox and OneDrive: they show a page; the file is behind another URL.

The direct forms are those that the services document or redirect to themselves: Drive's `uc` endpoint,
Dropbox's `dl=1`, OneDrive's shares API (https://learn.microsoft.com/onedrive/developer/rest-api/api/shares_get)
and SharePoint's `download=1`. Folders, albums and documents have none.
"""

import base64
import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from imagebatch.links.address import BadLink
from imagebatch.outcome import ErrorCode

DIRECT_LINK = "direct_link"

_HOSTS = re.compile(
    r"(?:^|\.)(?:drive\.google\.com|docs\.google\.com|photos\.google\.com|photos\.app\.goo\.gl|dropbox\.com"
    r"|1drv\.ms|onedrive\.live\.com|sharepoint\.com)$"
)
HINTS = ("google.com", "goo.gl", "dropbox.com", "1drv.ms", "live.com", "sharepoint.com")
"""Ends of all of them: a host that ends otherwise shares no files."""

_FILE_ID = re.compile(r"/file/(?:u/\d+/)?d/([\w-]{5,})")
_SHAREPOINT_FILE = re.compile(r"/:(?:i|u|b):/")
_GOOGLE_TEXTS = re.compile(r"/(?:document|spreadsheets|presentation|forms|drawings)/")


def may_be(link: str) -> bool:
    """A cheap look: False for nearly all links."""
    lowered = link.lower()
    for hint in HINTS:  # noqa: SIM110 - a generator would cost three times as much
        if hint in lowered:
            return True
    return False


def direct(url: str) -> str | BadLink | None:
    """The direct form of a share link; why there is none; None for what is no share link."""
    if not may_be(url):
        return None
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    if not _HOSTS.search(host):
        return None
    query = dict(parse_qsl(parts.query))
    if "google" in host or host.endswith("goo.gl"):
        return _google(host, parts.path, query)
    if host.endswith("dropbox.com"):
        return _dropbox(url, parts.path, query)
    if host.endswith("sharepoint.com"):
        return _sharepoint(url, parts.path, query)
    return _onedrive(url, host, parts.path, query)


def no_file(what: str, advice: str = "share the picture itself, and use that link") -> BadLink:
    return BadLink(ErrorCode.SHARE_LINK, f"this is a link to {what}, not to a picture: {advice}")


def _google(host: str, path: str, query: dict[str, str]) -> str | BadLink | None:
    if host.startswith("photos."):
        return no_file("a page of Google Photos", "download the picture and upload it to a web server")
    if "/folders/" in path or path.startswith("/drive/"):
        return no_file("a folder of Google Drive")
    if host.startswith("docs.") and _GOOGLE_TEXTS.search(path):
        return no_file("a document of Google Docs")
    found = _FILE_ID.search(path)
    file_id = found[1] if found else query.get("id", "") if path in {"/open", "/uc"} else ""
    if not file_id:
        return None
    wanted = {"export": "download", "id": file_id}
    if key := query.get("resourcekey"):
        wanted["resourcekey"] = key
    return f"https://drive.google.com/uc?{urlencode(wanted)}"


def _dropbox(url: str, path: str, query: dict[str, str]) -> str | BadLink | None:
    names = [name for name in path.split("/") if name]
    if names[:1] == ["home"] or names[:1] == ["preview"]:
        return no_file(
            "a page of somebody's own Dropbox", "share the file, and use the link that Dropbox gives"
        )
    is_folder = names[:2] == ["scl", "fo"] or (names[:1] == ["sh"] and "." not in names[-1])
    if is_folder and "preview" not in query:
        return no_file("a folder of Dropbox")
    is_file = names[:2] in (["scl", "fi"], ["scl", "fo"]) or names[:1] in (["s"], ["sh"])
    if not is_file or query.get("raw") == "1" or query.get("dl") == "1":
        return None
    return _with_query(url, {**query, "dl": "1"})


def _sharepoint(url: str, path: str, query: dict[str, str]) -> str | BadLink | None:
    if _SHAREPOINT_FILE.search(path):
        return None if query.get("download") == "1" else _with_query(url, {**query, "download": "1"})
    if "/:f:/" in path or path.endswith("/onedrive.aspx"):
        return no_file("a folder of OneDrive or SharePoint")
    return None


def _onedrive(url: str, host: str, path: str, query: dict[str, str]) -> str | BadLink | None:
    if host.endswith("1drv.ms"):
        return _short_onedrive(url, path)
    if path in {"/embed", "/redir", "/redir.aspx"} and "resid" in query:
        return f"https://onedrive.live.com/download?{urlencode(query)}"
    if path in {"", "/"} and "id" in query:
        kept = {name: query[name] for name in ("cid", "authkey") if name in query}
        return f"https://onedrive.live.com/download?{urlencode([('resid', query['id']), *kept.items()])}"
    return None if path.startswith("/download") else no_file("a page of OneDrive", _EMBED)


_EMBED = "in OneDrive choose Embed, and use the link that it gives"


def _short_onedrive(url: str, path: str) -> str | BadLink:
    if path.startswith("/f/"):
        return no_file("a folder of OneDrive")
    if "/s!" not in path:
        return no_file("a page of OneDrive", _EMBED)
    token = base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
    return f"https://api.onedrive.com/v1.0/shares/u!{token}/root/content"


def _with_query(url: str, query: dict[str, str]) -> str:
    return urlunsplit(urlsplit(url)._replace(query=urlencode(query), fragment=""))
