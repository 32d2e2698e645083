"""What is fetched for an entry: the URL that a browser, or a person, would take it for.

Each step that changes the link is in the outcome's notes; what can't be decided is refused in words.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from imagebatch.links import share
from imagebatch.links.address import BadLink, check, looks_like_link
from imagebatch.links.cell import IMAGE_EXTENSIONS, is_placeholder, unwrapped
from imagebatch.outcome import ErrorCode

HTTPS_ASSUMED = "https_assumed"
BACKSLASHES_READ = "backslashes_read"
SLASHES_READ = "slashes_read"
AMP_UNESCAPED = "amp_unescaped"

_ODD = re.compile(r'[\\&"<>`\u201c\u201d\u00ab\u00bb]')
_BROKEN_SCHEME = re.compile(r"(https?):[/\\]?(?=[^/\\\s])", re.IGNORECASE)
_BACKSLASHED_SCHEME = re.compile(r"(https?):[/\\]{2}(?=[^/\\])", re.IGNORECASE)
_LETTER = r"a-zA-Z\u00a1-\uffff"
"""Both cases are listed: re.IGNORECASE would look at each letter of the range, 40 ms at each start."""

_AMP = re.compile(r"&(?:amp|#0*38|#x0*26);", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_DRIVE = re.compile(r"(?:[a-z]:[/\\]|\\\\)", re.IGNORECASE)
_LIKE_HTTP = re.compile(r"(?:h+t*p+s*|t*tps?|ht+ps?|http?s+|hxxps?|htttps?|https?s)", re.IGNORECASE)
_FILE_ENDS = frozenset(IMAGE_EXTENSIONS.replace("?", "").split("|")) | {
    "jpg",
    "tif",
    "php",
    "html",
    "htm",
    "csv",
}


@dataclass(frozen=True, slots=True)
class Address:
    """A URL to fetch, and stable words for what was changed in the link to get it."""

    url: str
    notes: tuple[str, ...] = ()


def read(entry: str) -> "tuple[Address, ...] | BadLink":
    """The URLs that an entry stands for, the likeliest first; a later one is tried when the first fails."""
    if looks_like_link(entry) and not _ODD.search(entry) and not share.may_be(entry):
        bad = check(entry)
        if bad is None:
            return (Address(entry),)
    return _read_oddly(unwrapped(entry))


def _read_oddly(text: str) -> "tuple[Address, ...] | BadLink":
    meant = _as_http(text)
    if isinstance(meant, BadLink):
        return meant
    bad = check(meant.url)
    if bad is not None:
        return bad
    shared = share.direct(_AMP.sub("&", meant.url))
    if isinstance(shared, BadLink):
        return shared
    if shared is not None:
        return (Address(shared, (*meant.notes, share.DIRECT_LINK)),)
    return tuple(_with_unescaped(meant))


def _with_unescaped(address: Address) -> Iterator[Address]:
    yield address
    unescaped = _AMP.sub("&", address.url)
    if unescaped != address.url:
        yield Address(unescaped, (*address.notes, AMP_UNESCAPED))


def _as_http(text: str) -> Address | BadLink:
    """The link with its scheme and slashes, as browsers complete them (WHATWG URL, 4.4)."""
    if text.startswith("//"):
        return _slashed("https:" + text, HTTPS_ASSUMED)
    if text[:4].lower() == "www." or _names_host(text):
        return _slashed("https://" + text, HTTPS_ASSUMED)
    if looks_like_link(text):
        return _slashed(text)
    if _BACKSLASHED_SCHEME.match(text):
        return _slashed(_BACKSLASHED_SCHEME.sub(r"\1://", text, count=1), BACKSLASHES_READ)
    if _BROKEN_SCHEME.match(text):
        return _slashed(_BROKEN_SCHEME.sub(r"\1://", text, count=1), SLASHES_READ)
    return BadLink(ErrorCode.INVALID_URL, f"not an http:// or https:// link{_kind(text)}")


@cache
def _no_scheme() -> re.Pattern[str]:
    """Compiled at its first use: that takes as long as all other patterns here."""
    return re.compile(
        rf"(?P<host>(?:(?:[0-9_{_LETTER}](?:[0-9_{_LETTER}-]*[0-9_{_LETTER}])?\.)+(?P<tld>[{_LETTER}]{{2,24}})"
        r"|\d{1,3}(?:\.\d{1,3}){3}))(?::\d{1,5})?[/\\][^/\\]"
    )


def _names_host(text: str) -> bool:
    """Whether it begins with a host's name and goes on behind a slash: `images/p.jpg` has no such name."""
    found = _no_scheme().match(text)
    return found is not None and (found["tld"] or "").lower() not in _FILE_ENDS


def _slashed(url: str, *notes: str) -> Address:
    """Backslashes before the query are slashes."""
    end = min((at for at in map(url.find, "?#") if at >= 0), default=len(url))
    if "\\" not in url[:end]:
        return Address(url, notes)
    return Address(url[:end].replace("\\", "/") + url[end:], (*dict.fromkeys((*notes, BACKSLASHES_READ)),))


def _kind(text: str) -> str:
    """What it is instead, for a message; it repeats nothing that may be secret."""
    if is_placeholder(text):
        return ", but says that there is none"
    if _DRIVE.match(text):
        return ", but a path on a computer: upload the file to a web server"
    scheme = _SCHEME.match(text)
    if scheme is None:
        return _kind_without_scheme(text)
    name = scheme[1].lower()
    if _LIKE_HTTP.fullmatch(name):
        return f': "{name[:20]}:" is misspelt'
    return f': "{name[:20]}:" is not fetched'


def _kind_without_scheme(text: str) -> str:
    path = text.partition("?")[0]
    if path.rpartition(".")[2].lower() not in _FILE_ENDS:
        return ""
    if "/" in path or "\\" in path:
        return ", but a path without a host: put https:// and the host before it"
    return ", but a file's name: put https://, the host and the folder before it"
