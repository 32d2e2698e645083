"""The columns of a batch's canonical CSV: its header, and which of them hold what.

Ingest finds it, plan.json holds it; the jobrunner and merge read rows by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from imagebatch import links
from imagebatch.csv import rows


@dataclass(frozen=True, slots=True)
class TableLayout:
    """`serial`, `name` and `links` are indexes into `header`; `serial` and `name` are None where no column
    holds them. With `in_place` the output has the new links in the links' columns, too.
    """

    header: tuple[str, ...] = rows.COLUMNS
    serial: int | None = 0
    name: int | None = 1
    links: tuple[int, ...] = (2,)
    in_place: bool = False

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "TableLayout":
        return cls(**{**values, "header": tuple(values["header"]), "links": tuple(values["links"])})

    @property
    def is_plain(self) -> bool:
        """Whether these are our own three columns."""
        return self.header == rows.COLUMNS

    def entries(self, cells: Sequence[str]) -> list[str]:
        """The entries of a row's links, column by column: the n-th is the image of slot n + 1."""
        if len(self.links) == 1:
            return links.split(cells[self.links[0]])
        return [entry for column in self.links for entry in links.split(cells[column])]

    def replaced(self, cells: Sequence[str], addresses: Sequence[str]) -> list[str]:
        """A row with its entries' new addresses in their places; an entry without one stays as it is."""
        changed, rest = list(cells), list(addresses)
        for column in self.links:
            entries = links.split(cells[column])
            changed[column] = _replaced(cells[column], entries, rest)
            rest = rest[len(entries) :]
        return changed


def _replaced(cell: str, entries: Sequence[str], addresses: Sequence[str]) -> str:
    """The cell with addresses for its entries; what separates them stays, unless it is a list in brackets."""
    new = [address or entry for entry, address in zip(entries, addresses, strict=False)]
    parts, at = [], 0
    for entry, text in zip(entries, new, strict=True):
        found = cell.find(entry, at)
        if found < 0:
            return ",".join(new)
        parts += [cell[at:found], text]
        at = found + len(entry)
    return "".join([*parts, cell[at:]])
