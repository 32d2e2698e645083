"""A record's fields, made to fit the header: what is missing is empty, what fell apart is joined again."""

from collections.abc import Iterator

from imagebatch import links
from imagebatch.csv import rows
from imagebatch.csv.header import Header
from imagebatch.errors import Problem


class RecordFit:
    """Fits the records of one file, and counts those that were too short."""

    def __init__(self, header: Header) -> None:
        self._count = header.field_count
        self._kept = [at for at in range(header.field_count) if at not in header.dropped]
        self._drops = bool(header.dropped)
        self._may_join = header.layout.is_plain and header.field_count == len(rows.COLUMNS)
        self._short_rows = 0
        self._first_short_row = 0

    def cells(self, fields: list[str], line: int) -> list[str] | Problem:
        """The cells of a record that begins in `line`, one for each column that is kept."""
        while len(fields) > self._count and not fields[-1].strip():
            fields.pop()
        if len(fields) <= self._count:
            padded = self._padded(fields, line)
            return [padded[at] for at in self._kept] if self._drops else padded
        if self._may_join and all(map(_fits_links, fields[2:])):
            return [*fields[:2], ",".join(field.strip() for field in fields[2:] if field.strip())]
        hint = "put links that belong together in quotes" if self._may_join else _QUOTES_HINT
        return Problem(
            "too_many_fields", f"{len(fields)} fields where the header has {self._count}; {hint}", line
        )

    def _padded(self, fields: list[str], line: int) -> list[str]:
        """A row with the empty last cells that some programs leave out."""
        missing = self._count - len(fields)
        if not missing:
            return fields
        self._short_rows += 1
        self._first_short_row = self._first_short_row or line
        return [*fields, *[""] * missing]

    def warnings(self) -> Iterator[Problem]:
        if self._short_rows:
            count = f"{self._short_rows} rows have" if self._short_rows > 1 else "a row has"
            yield Problem(
                "short_rows",
                f"{count} fewer fields than the header; the missing cells are empty",
                self._first_short_row,
            )


_QUOTES_HINT = "put a cell that has a delimiter in it in quotes"


def _fits_links(field: str) -> bool:
    text = links.trimmed(field)
    return not text or links.begins_like_link(text) or links.is_placeholder(text)
