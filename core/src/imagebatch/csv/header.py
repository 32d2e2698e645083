"""A file's header: which columns it has, its delimiter, and its line ends."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass

from imagebatch import links
from imagebatch.csv import rows
from imagebatch.errors import InputRefusedError

_SEP_LINE = re.compile(r'"?sep=(?P<delimiter>[,;\t])"?\s*', re.IGNORECASE)
"""Excel's own line before the header."""

_COLUMN_NAMES = tuple(name.lower() for name in rows.COLUMNS)
_OWN_NAMES = frozenset(name.lower() for name in rows.OWN_COLUMNS)
_EXPECTED = ",".join(rows.COLUMNS)


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says of its file. `field_count` is without empty last columns."""

    delimiter: str
    field_count: int
    line_end: str


def header_of(lines: Iterator[str]) -> Header:
    """Read up to the header. Raises InputRefusedError for one that is not usable, or not there."""
    for number, line in enumerate(lines, 1):
        if not _SEP_LINE.fullmatch(links.trimmed(line)) and links.trimmed(line).strip(" \t\r\n,;"):
            return _understood(line, number)
    raise InputRefusedError.of("no_header", f"the file is empty; it must begin with {_EXPECTED}")


def _understood(line: str, number: int) -> Header:
    for delimiter in rows.DELIMITERS:
        names = _names(line, delimiter)
        if tuple(names[:3]) == _COLUMN_NAMES:
            break
    else:
        raise InputRefusedError.of(
            "wrong_header", f"the header is {_shown(line)}; it must be {_EXPECTED}", number
        )
    while names and not names[-1]:
        names.pop()
    unknown = [name for name in names[3:] if name not in _OWN_NAMES]
    if unknown:
        raise InputRefusedError.of(
            "wrong_header", f"unexpected column {_shown(unknown[0])}; the header must be {_EXPECTED}", number
        )
    return Header(delimiter, len(names), _line_end(line))


def _names(line: str, delimiter: str) -> list[str]:
    try:
        fields = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True))
    except (csv.Error, StopIteration):
        return []
    return [" ".join(links.visible(field).lower().split()) for field in fields]


def _line_end(line: str) -> str:
    return next((end for end in ("\r\n", "\n", "\r") if line.endswith(end)), "\n")


def _shown(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 80 else f"{text[:80]}…")
