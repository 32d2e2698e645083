"""A file's header: its delimiter, its line ends, and which of its columns hold what."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imagebatch import links
from imagebatch.csv import rows
from imagebatch.csv.columns import FORM, PRESETS, UNDECLARED, ColumnNames, ColumnOptions
from imagebatch.csv.layout import TableLayout
from imagebatch.errors import InputRefusedError

_SEP_LINE = re.compile(r'"?sep=(?P<delimiter>[,;\t])"?\s*', re.IGNORECASE)
"""Excel's own line before the header."""

_EXPECTED = ",".join(rows.COLUMNS)
_MAX_SHOWN = 400

SYNONYMS = (
    {"serialnumber", "serialno", "serialnum", "serialnr", "serial", "sno", "srno", "slno", "snum", "snumber"},
    {"productname", "product", "producttitle", "nameofproduct"},
    {
        "inputimageurls", "inputimageurl", "inputimagelinks", "inputimages", "imageurls", "imageurl",
        "imagelinks", "imagelink", "imagesurls", "imagesurl", "images", "image",
        "productimageurls", "productimageurl", "productimages",
    },
)  # fmt: skip
"""What our own columns are called elsewhere, as `_key` writes it."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says of its file. `field_count` is without empty last columns; `dropped` are the output
    columns in a file that was made from an output: the new output replaces them. With `skips_blanks`, blanks
    behind a delimiter are not part of the cell.
    """

    delimiter: str
    field_count: int
    line_end: str
    layout: TableLayout
    dropped: frozenset[int] = frozenset()
    skips_blanks: bool = True

    @property
    def may_be_plain(self) -> bool:
        """Whether rows may be canonical as they stand."""
        return self.layout.is_plain and self.delimiter == "," and self.field_count == len(rows.COLUMNS)


def header_of(lines: Iterator[str], options: ColumnOptions = UNDECLARED) -> Header:
    """Read up to the header. Raises InputRefusedError for one that is not usable, or not there."""
    for number, line in enumerate(lines, 1):
        if not _SEP_LINE.fullmatch(links.trimmed(line)) and links.trimmed(line).strip(" \t\r\n,;"):
            return _understood(line, number, options)
    raise InputRefusedError.of("no_header", f"the file is empty; it must begin with {_EXPECTED}")


def _understood(line: str, number: int, options: ColumnOptions) -> Header:
    for delimiter in rows.DELIMITERS:
        names = _names(line, delimiter)
        try:
            found = _with_columns(names, options)
        except _AmbiguousError as error:
            raise InputRefusedError.of("wrong_header", str(error), number) from None
        if found is not None:
            layout, count, dropped = found
            skips = layout.is_plain or delimiter + " " in line
            return Header(delimiter, count, _line_end(line), layout, dropped, skips)
    raise InputRefusedError.of("wrong_header", _not_mapped(line, options), number)


_Found = tuple[TableLayout, int, frozenset[int]]


def _with_columns(names: list[str], options: ColumnOptions) -> _Found | None:
    """The layout of a file with these headers, its number of fields, and columns to drop; None if none."""
    if not options.alternatives:
        return _own(names, options) or _by_synonyms(names, options)
    for wanted in options.alternatives:
        found = _declared(names, wanted)
        if found is not None:
            return _layout(names, *found, options)
    return None


def _own(names: list[str], options: ColumnOptions) -> _Found | None:
    """Our own three columns, with nothing behind them but what we write there ourselves."""
    visible = [_visible(name).lower() for name in names]
    while visible and not visible[-1]:
        visible.pop()
    own = {name.lower() for name in rows.OWN_COLUMNS}
    if visible[:3] != [name.lower() for name in rows.COLUMNS] or not own.issuperset(visible[3:]):
        return None
    return TableLayout(in_place=options.in_place), len(visible), frozenset(range(3, len(visible)))


def _by_synonyms(names: list[str], options: ColumnOptions) -> _Found | None:
    found = [[at for at, name in enumerate(names) if _key(name) in known] for known in SYNONYMS]
    if not all(found):
        return None
    for places in found:
        if len(places) > 1:
            both = " and ".join(repr(names[at]) for at in places[:2])
            raise _AmbiguousError(f"{both} may both be meant; say which by columns={FORM}")
    (serial,), (name,), (link,) = found
    return _layout(names, serial, name, (link,), options)


def _declared(names: list[str], wanted: ColumnNames) -> tuple[int | None, int | None, tuple[int, ...]] | None:
    joined = "+".join(wanted.links)
    link_names = wanted.links if _place(names, joined) is None else (joined,)  # a header may have a + in it
    links_at = [_place(names, name) for name in link_names]
    serial, name = (_place(names, text) if text else None for text in (wanted.serial, wanted.name))
    if None in links_at or (wanted.serial and serial is None) or (wanted.name and name is None):
        return None
    return serial, name, tuple(at for at in links_at if at is not None)


def _place(names: list[str], wanted: str) -> int | None:
    """Where the column is: by its very name or else without regard to case and punctuation."""
    for key in (_visible, _key):
        places = [at for at, name in enumerate(names) if key(name) == key(wanted) and key(wanted)]
        if len(places) > 1:
            raise _AmbiguousError(f"{len(places)} columns are called {wanted!r}; rename those not meant")
        if places:
            return places[0]
    return None


def _layout(
    names: list[str], serial: int | None, name: int | None, places: Sequence[int], options: ColumnOptions
) -> _Found:
    """The layout without the column of an earlier output, which the new output's replaces."""
    meant = {serial, name, *places}
    old = {
        at
        for at, text in enumerate(names)
        if _visible(text).lower() == rows.OUTPUT_COLUMN.lower() and at not in meant
    }
    kept = [at for at in range(len(names)) if at not in old]
    new = {at: place for place, at in enumerate(kept)}
    layout = TableLayout(
        header=tuple(names[at] for at in kept),
        serial=None if serial is None else new[serial],
        name=None if name is None else new[name],
        links=tuple(new[at] for at in places),
        in_place=options.in_place,
    )
    return layout, len(names), frozenset(old)


class _AmbiguousError(ValueError):
    """A header that names two columns for one thing."""


def _not_mapped(line: str, options: ColumnOptions) -> str:
    found = f"the header is {_shown(line)}"
    if options.preset is not None:
        wanted = f"{PRESETS[options.preset][0]} and the like"
        return f"{found}; the preset {options.preset} looks for {wanted}; name others by columns={FORM}"
    if options.columns is not None:
        return f"{found}; it has not all the columns of columns={options.columns}"
    known = next((name for name, some in PRESETS.items() if _is_preset(line, some)), None)
    hint = f"; preset={known} reads it" if known else ""
    return f"{found}; it must be {_EXPECTED}{hint}; columns={FORM} names columns of your own"


def _is_preset(line: str, alternatives: Sequence[ColumnNames]) -> bool:
    every = [_names(line, delimiter) for delimiter in rows.DELIMITERS]
    try:
        return any(_declared(names, wanted) is not None for names in every for wanted in alternatives)
    except _AmbiguousError:
        return False


def _names(line: str, delimiter: str) -> list[str]:
    """The headers as they are written."""
    skips = delimiter + " " in line
    try:
        fields = next(csv.reader([line], delimiter=delimiter, skipinitialspace=skips, strict=True))
    except (csv.Error, StopIteration):
        return []
    return fields


def _visible(name: str) -> str:
    return " ".join(links.visible(name).split())


def _key(name: str) -> str:
    """A header's letters and digits in lower case."""
    return "".join(filter(str.isalnum, links.visible(name).lower()))


def _line_end(line: str) -> str:
    return next((end for end in ("\r\n", "\n", "\r") if line.endswith(end)), "\n")


def _shown(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")
