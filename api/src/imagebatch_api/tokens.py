"""Bearer tokens: how one is made, the file that holds them, and whose a presented one is.

The file has a line a token, `NAME:SHA256`, and never the token itself. A token is 32 random bytes, so its
plain SHA-256 can't be turned back: a slow, salted hash is for words that people choose. Several lines may
bear one name, so that a new token is in use before the old one goes. `docs/decisions/0008-api-tokens.md`
has the reasons. The middleware asks, the command line makes.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

import structlog

from imagebatch.errors import SettingsError

PREFIX = "ib_"
"""Of every token, so that scanners for leaked secrets can know one."""

RANDOM_BYTES = 32

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FORM = "NAME:SHA256, as `imagebatch token NAME` prints it"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """A line of the file: whose token it is, and the SHA-256 of the token in hex."""

    name: str
    digest: str

    def __str__(self) -> str:
        return f"{self.name}:{self.digest}"


def make() -> str:
    """A new token."""
    return PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def entry_of(name: str, token: str) -> TokenEntry:
    """The line for a token. Raises SettingsError for a name that can't be one."""
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{name[:80]!r} can't be a token's name: {_NAME_RULE}")
    return TokenEntry(name, _digest(token))


_NAME_RULE = "it takes 1 to 63 letters, digits, dots, hyphens and underscores, a letter or digit at both ends"


def parse(text: str) -> tuple[TokenEntry, ...]:
    """The entries of a file; blank lines and those that begin with # are none.

    Raises SettingsError naming the first line that is wrong, and nothing that stands in it: it may be a
    token that somebody wrote there by mistake.
    """
    lines = {number: line.strip() for number, line in enumerate(text.splitlines(), 1)}
    entries = {number: _entry(number, line) for number, line in lines.items() if line and line[0] != "#"}
    _check_distinct(entries)
    return tuple(entries.values())


def _entry(number: int, line: str) -> TokenEntry:
    name, colon, digest = (part.strip() for part in line.partition(":"))
    if not colon:
        raise SettingsError(f"line {number} has no colon; a line is {_FORM}")
    if not _NAME.fullmatch(name):
        raise SettingsError(f"line {number}: what stands before the colon can't be a name: {_NAME_RULE}")
    if not _DIGEST.fullmatch(digest.lower()):
        raise SettingsError(
            f"line {number}: what follows the colon is no SHA-256 (64 hexadecimal digits), which is not the "
            f"token itself; a line is {_FORM}"
        )
    return TokenEntry(name, digest.lower())


def _check_distinct(entries: dict[int, TokenEntry]) -> None:
    seen: dict[str, int] = {}
    for number, entry in entries.items():
        if entry.digest in seen:
            raise SettingsError(f"line {number} repeats the token of line {seen[entry.digest]}")
        seen[entry.digest] = number


def owner_of(entries: tuple[TokenEntry, ...], token: str) -> str | None:
    """Whose token it is, None when nobody's. Takes the same time whichever entry it is, or none."""
    digest, owner = _digest(token), None
    for entry in entries:
        if hmac.compare_digest(entry.digest, digest):
            owner = entry.name
    return owner


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class TokenFile:
    """The tokens in a file, read again when it has changed.

    At the start it must be readable and right, else SettingsError. Later the last good version counts until
    the file is right again, so that a slip does not lock everybody out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: object = ()
        self._entries: tuple[TokenEntry, ...] = ()
        try:
            self._read()
        except (OSError, UnicodeDecodeError, SettingsError) as error:
            raise SettingsError(f"IMAGEBATCH_API_TOKENS_FILE: {self._told(error)}") from None

    def owner_of(self, token: str) -> str | None:
        """Whose token it is by what the file says now; None when nobody's."""
        try:
            self._read()
        except (OSError, UnicodeDecodeError, SettingsError) as error:
            reason = self._told(error)
            log.error("the tokens file is not usable; its last version counts", reason=reason)  # noqa: TRY400 - it says all
        return owner_of(self._entries, token)

    def _read(self) -> None:
        version = self._version_now()
        if version == self._version:
            return
        self._version = version  # also of a file that is wrong: that is logged once
        self._entries = parse(self._path.read_text(encoding="utf-8"))
        log.info("tokens read", path=str(self._path), tokens=len(self._entries))

    def _version_now(self) -> object:
        """What differs when the file is written anew, or its link leads elsewhere, as in a mounted Secret."""
        try:
            found = self._path.stat()
        except OSError as error:
            return error.errno
        return (found.st_mtime_ns, found.st_ino, found.st_size)

    def _told(self, error: Exception) -> str:
        if isinstance(error, OSError):
            return f"{self._path} can't be read: {error.strerror}"
        return f"{self._path}: {'it is not UTF-8' if isinstance(error, UnicodeDecodeError) else error}"
