"""Whether a URL may be fetched as it stands."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from imagebatch.outcome import ErrorCode

MAX_LINK_CHARS = 8192

PLAIN_HOST = r"https?://(?!xn--)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?"
_PLAIN = re.compile(rf"(?!.*xn--){PLAIN_HOST}(?:[/?#][!-~]*)?")
"""What nothing can be wrong with: a plain name without port, and printable ASCII behind it."""

_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class BadLink:
    """Why a link is not fetched."""

    code: ErrorCode
    message: str


def looks_like_link(text: str) -> bool:
    return _SCHEME.match(text) is not None


def check(link: str) -> BadLink | None:
    """None when the link may be fetched; the message never repeats a password."""
    if len(link) <= MAX_LINK_CHARS and _PLAIN.fullmatch(link):
        return None
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
