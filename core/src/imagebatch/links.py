"""The links in a cell, and which of them can be fetched at all.

Shared by ingest, jobrunner and merge, so that the n-th link is the same one everywhere.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from imagebatch.outcome import ErrorCode

MAX_LINK_CHARS = 8192

# A separator is a comma or line break that a new link follows: links may contain commas themselves.
_SEPARATOR = re.compile(r"[,\r\n][\s,]*(?=https?://)", re.IGNORECASE)
_JOINED = re.compile(r"[;|\s]\s*https?://", re.IGNORECASE)
_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


def split(cell: str) -> list[str]:
    """The links of a cell in order, without surrounding spaces; `""` and `" , "` have none."""
    pieces = (piece.strip().rstrip(",").rstrip() for piece in _SEPARATOR.split(cell))
    return [piece for piece in (piece.lstrip(", \t\r\n") for piece in pieces) if piece]


def may_be_several(link: str) -> bool:
    """Whether a link looks like several, joined by what is no separator here: `;`, `|` or a space."""
    return _JOINED.search(link) is not None


def looks_like_link(text: str) -> bool:
    return _SCHEME.match(text) is not None


@dataclass(frozen=True, slots=True)
class BadLink:
    """Why a link is not fetched."""

    code: ErrorCode
    message: str


def check(link: str) -> BadLink | None:
    """None when the link may be fetched; the message never repeats a password."""
    if not looks_like_link(link):
        return BadLink(ErrorCode.INVALID_URL, "not an http:// or https:// link")
    if len(link) > MAX_LINK_CHARS:
        return BadLink(ErrorCode.INVALID_URL, f"longer than {MAX_LINK_CHARS} characters")
    if _UNPRINTABLE.search(link):
        return BadLink(ErrorCode.INVALID_URL, "contains a control character")
    return _check_authority(link)


def _check_authority(link: str) -> BadLink | None:
    try:
        parts = urlsplit(link)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return BadLink(ErrorCode.INVALID_URL, f"malformed: {_reason(error)}")
    if "@" in parts.netloc:
        return BadLink(ErrorCode.CREDENTIALS_IN_URL, "carries user:password@")
    if not host or any(character.isspace() for character in parts.netloc) or not _is_valid_name(host):
        return BadLink(ErrorCode.INVALID_URL, "names no valid host")
    return None


def _is_valid_name(host: str) -> bool:
    """Whether an internationalised name can be encoded (IDNA); plain ASCII names always pass."""
    if host.isascii() and "xn--" not in host:
        return True
    try:
        return bool(httpx.URL(scheme="http", host=host).host)
    except (httpx.InvalidURL, UnicodeError):
        return False


def _reason(error: ValueError) -> str:
    return "its port is not a number from 0 to 65535" if "ort" in str(error) else "its host is not valid"
