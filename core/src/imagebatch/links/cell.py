"""Where an entry of a cell ends and the next begins.

Links may contain every separator themselves (Cloudinary's `w_800,h_600`, names such as `Big, red.jpg`,
queries), so a separator counts by what stands on its two sides. An entry that is no link is one all the
same: it costs its own place and no other.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from imagebatch.links.text import trimmed

IMAGE_EXTENSIONS = "jpe?g|jpe|jfif|png|gif|webp|avif|bmp|tiff?|ico|psd|svg|heic|heif|jxl|jp2"

LINK_CHARS = r"!#-+\--:=?-\[\]-{}~"
"""Of a character class: printable ASCII without quotes, separators, angle brackets and backslashes."""

_PLAIN_LINK = rf"https?://[{LINK_CHARS}]+"
_PLAIN_CELL = re.compile(rf"{_PLAIN_LINK}(?:[,;|\s]+{_PLAIN_LINK})*[,;|\s]*")
"""Links without any separator, quote or odd character in them: nearly all cells are so."""

_INVISIBLE = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
_MARKS = ",;|\uff0c\u060c\u3001\uff1b\uff5c\ufe10\ufe50\ufe51\ufe54\u061b"
_RUN = re.compile(
    rf"[\s{_INVISIBLE}]{{0,64}}+[{_MARKS}][{_MARKS}\s{_INVISIBLE}]*|[{_INVISIBLE}]{{0,64}}+\s[\s{_INVISIBLE}]{{0,64}}"
)
"""Bounded before its mark, so that a long row of blanks is walked once."""

_MARK = re.compile(rf"[{_MARKS}]")
_BLANK = re.compile(r"\s")
_LINE_BREAK = re.compile(r"[\r\n\x0b\x0c\x85\u2028\u2029]")
_ENTRY_ENDS = rf"(?=[\s{_INVISIBLE}]*(?:$|[{_MARKS}\r\n]))"

_OPENERS = {'"': '"', "'": "'", "<": ">", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb",
            "\u201e": "\u201c\u201d", "\u201a": "\u2018\u2019", "`": "`"}  # fmt: skip
_OPENER = "".join(_OPENERS)
_NEVER_IN_LINKS = frozenset('"<>\u201c\u201d\u00ab\u00bb')

_HOST = r"(?:(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,24}|\d{1,3}(?:\.\d{1,3}){3})(?::\d{1,5})?[/\\]"
_LINK_START = re.compile(
    rf"[{_OPENER}]?(?:[a-z][a-z0-9+.-]*:[/\\]|//[^/\s]|\\\\[^\\\s]|www\.[a-z0-9]"
    rf"|(?:https?|ftps?|sftp|file|data|mailto|blob|javascript|about|cid|tel|gs|s3):\S)",
    re.IGNORECASE,
)
_FETCHED = re.compile(rf"[{_OPENER}]?(?:https?:|//|www\.)", re.IGNORECASE)
_WORD_COLON = re.compile(rf"[{_OPENER}]?[a-z][a-z0-9+.-]+:[^\s]", re.IGNORECASE)
_HOST_START = re.compile(rf"[{_OPENER}]?{_HOST}", re.IGNORECASE)
_FILE_NAME = re.compile(rf"[^/\\?#{_MARKS}\r\n]*\.(?:{IMAGE_EXTENSIONS}){_ENTRY_ENDS}", re.IGNORECASE)
_NEXT_LINK = re.compile(rf"[\s{_MARKS}](?=[{_OPENER}]?(?:https?:|www\.|//))", re.IGNORECASE)
_CLOSING = {
    opener: re.compile(rf"[{closers}](?=[{_MARKS}\s{_INVISIBLE}]|$)") for opener, closers in _OPENERS.items()
}
_PLACEHOLDER = re.compile(
    r"(?:#?n\s?/\s?a!?|null|none|nil|nan|undefined|missing|unknown|empty|tbd|tba|todo|-+|\u2013|\u2014|\?+|x{2,3}"
    r"|\(?(?:no|without|kein|keine|ohne|pas d[e'\u2019]|sin|senza)\s?(?:image|photo|picture|pic|bild|foto"
    rf"|imagen|immagine|img)s?\)?|#(?:ref|value|name)[!?])[{_OPENER}]?{_ENTRY_ENDS}",
    re.IGNORECASE,
)
_WHOLE_FILE = re.compile(rf"\.(?:{IMAGE_EXTENSIONS})[{''.join(_OPENERS.values())}]?$", re.IGNORECASE)
_GOES_ON = re.compile(rf"[^{_MARKS}\s]*[&=]")
"""What follows a comma within a query: more of the query."""

_LONGEST_EXTENSION = 8


@dataclass(frozen=True, slots=True)
class Cell:
    """The entries of a cell in order. `doubt` says how a cell was read that could be read in two ways."""

    entries: tuple[str, ...]
    doubt: str = ""


def split(cell: str) -> list[str]:
    """The entries of a cell, each without what surrounds it; `""` and `" , "` have none.

    An entry alone in a cell is that entry again, so that errors.csv may be uploaded.
    """
    return _plain(cell) if _PLAIN_CELL.fullmatch(cell) else list(entries(cell).entries)


def entries(cell: str) -> Cell:
    """What `split` gives, and whether it could have been otherwise."""
    if _PLAIN_CELL.fullmatch(cell):
        return Cell(tuple(_plain(cell)))
    text = trimmed(cell)
    items = _listed(text)
    if items is None:
        return _scanned(text)
    return Cell(tuple(_alone(item) for item in items))


def _plain(cell: str) -> list[str]:
    """The links of a cell in which separators only separate."""
    return cell.replace(",", " ").replace(";", " ").replace("|", " ").split()


def begins_like_link(text: str) -> bool:
    """Whether a person meant a link, of whatever scheme, or without one."""
    return bool(_LINK_START.match(text) or _HOST_START.match(text))


def is_placeholder(text: str) -> bool:
    """Whether a text says that there is no link: `N/A`, `-`, `no image`."""
    return _PLACEHOLDER.match(text) is not None


# -- lists ---------------------------------------------------------------------------------------------


def _listed(text: str) -> list[str] | None:
    """The items of a list in brackets, JSON's or another language's; None when the text is no such list."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return _bracketed(text[1:-1])
    return [item for item in map(_item, found) if item] if isinstance(found, list) else None


def _item(value: object) -> str:
    return trimmed(value) if isinstance(value, str) else json.dumps(value)


def _bracketed(inner: str) -> list[str] | None:
    inner = trimmed(inner)
    if not begins_like_link(inner):
        return None
    return [unwrapped(entry) for entry in _scanned(inner).entries]


def _alone(item: str) -> str:
    """An item of a list as the text of an entry: as it is, or as a list of one where it would fall apart."""
    return item if _scanned(item).entries == (item,) and _listed(item) is None else json.dumps([item])


def unwrapped(entry: str) -> str:
    """An entry without the quotes or angle brackets, or the list of one, that hold it."""
    text = trimmed(entry)
    for _ in range(3):
        closers = _OPENERS.get(text[:1])
        if closers is None or len(text) < 2 or text[-1] not in closers:
            break
        text = trimmed(text[1:-1])
    items = _listed(text)
    return items[0] if items is not None and len(items) == 1 else _without_lone_quote(text)


def _without_lone_quote(text: str) -> str:
    """A link without the one quote that a list of links in quotes left at its end."""
    if text[:1] in _OPENERS and begins_like_link(text[1:]):
        text = text[1:]
    return trimmed(text[:-1]) if text[-1:] in _NEVER_IN_LINKS and begins_like_link(text) else text


# -- one entry after the other ---------------------------------------------------------------------------


def _scanned(text: str) -> Cell:
    scan = _Scan(text)
    found = [entry for entry in map(_stripped, scan.pieces()) if entry]
    return Cell(tuple(found), scan.doubt if len(found) > 1 or scan.is_joined else "")


def _stripped(piece: str) -> str:
    text = trimmed(piece)
    while text and (text[0] in _MARKS or text[-1] in _MARKS):
        text = trimmed(text.strip(_MARKS))
    return text


class _Scan:
    """One walk over a cell. What it looks at before a separator is short, so that it is linear."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._never_closed: set[str] = set()
        self.doubt = ""
        self.is_joined = False

    def pieces(self) -> Iterator[str]:
        start = 0
        while start < len(self._text):
            end, start_of_next = self._entry(start)
            yield self._text[start:end]
            start = start_of_next

    def _entry(self, start: int) -> "tuple[int, int]":
        """Where the entry that begins at `start` ends, and where the next one begins."""
        held = self._held(start)
        seen = _Seen(self._text, start)
        for run in _RUN.finditer(self._text, held):
            seen.reach(run.start())
            if run.start() == start or self._separates(seen, run):
                return run.start(), run.end()
        return len(self._text), len(self._text)

    def _held(self, start: int) -> int:
        """Where the search for an entry's end begins: behind its closing quote, or where it starts without
        one.
        """
        opener = self._text[start : start + 1]
        if opener not in _CLOSING or opener in self._never_closed:
            return start
        closing = _CLOSING[opener].search(self._text, start + 1)
        if closing is None:
            self._never_closed.add(opener)  # no later entry finds one either
            return start
        holds_several = _NEXT_LINK.search(self._text, start + 1, closing.start())
        return start if holds_several else closing.end()

    def _separates(self, seen: "_Seen", run: re.Match[str]) -> bool:
        after, marks = run.end(), run.group()
        if after == len(self._text) or _LINE_BREAK.search(marks) or _LINK_START.match(self._text, after):
            return True
        is_marked = _MARK.search(marks) is not None
        if not seen.is_link:
            return is_marked
        if _PLACEHOLDER.match(self._text, after) and (is_marked or seen.is_file or seen.has_query):
            return True
        if not is_marked:
            return self._doubtful_blank(seen)
        if _BLANK.search(marks):
            return self._marked_with_blank(seen, after)
        return self._marked(seen, marks, after)

    def _marked_with_blank(self, seen: "_Seen", after: int) -> bool:
        """Whether `, ` in or behind a link separates. A link that is never fetched may be cut."""
        if not seen.is_fetched:
            return True
        if _WORD_COLON.match(self._text, after) or _HOST_START.match(self._text, after):
            return True
        if seen.is_file and not seen.has_query:
            return self._doubt(is_separate=True)
        if seen.has_query and not _GOES_ON.match(self._text, after):
            return self._doubt(is_separate=True)
        return self._doubt(is_separate=False)

    def _marked(self, seen: "_Seen", marks: str, after: int) -> bool:
        """Whether `,` without a blank separates, in or behind a link."""
        if not seen.is_file or seen.has_query:
            return False
        if _WORD_COLON.match(self._text, after) or _HOST_START.match(self._text, after):
            return True
        is_name = _FILE_NAME.match(self._text, after) is not None
        if "|" in marks or "\uff5c" in marks or (";" in marks and is_name):
            return self._doubt(is_separate=True)
        return self._doubt(is_separate=False) if is_name else False

    def _doubtful_blank(self, seen: "_Seen") -> bool:
        return self._doubt(is_separate=False) if seen.is_file and not seen.has_query else False

    def _doubt(self, *, is_separate: bool) -> bool:
        self.is_joined = self.is_joined or not is_separate
        if not self.doubt:
            self.doubt = _SEPARATE if is_separate else _JOINED
        return is_separate


_SEPARATE = "what follows a link behind a separator was read as an entry of its own"
_JOINED = "a separator within a link was read as part of that link"


class _Seen:
    """What is known of an entry up to where the scan is."""

    def __init__(self, text: str, start: int) -> None:
        self._text = text
        self._start = self._at = start
        self.is_link = bool(_LINK_START.match(text, start) or _HOST_START.match(text, start))
        self.is_fetched = bool(_FETCHED.match(text, start) or _HOST_START.match(text, start))
        self.has_query = False

    def reach(self, at: int) -> None:
        if not self.has_query:
            self.has_query = any(self._text.find(mark, self._at, at) >= 0 for mark in "?#")
        self._at = at

    @property
    def is_file(self) -> bool:
        """Whether it ends in an image's extension."""
        return (
            _WHOLE_FILE.search(self._text[max(self._start, self._at - _LONGEST_EXTENSION) : self._at])
            is not None
        )
