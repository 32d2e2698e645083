"""What an upload would be, with nothing of it kept: for the API's dry run and the commands `check`."""

from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from imagebatch import links
from imagebatch.csv import rows
from imagebatch.csv.ingest import Reader
from imagebatch.csv.layout import TableLayout
from imagebatch.errors import Problem

SHOWN_HOSTS = 100
MAX_HOSTS = 10_000
"""Up to so many hosts are counted exactly. Of more, those with the fewest so far are dropped."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What an upload would be."""

    rows: int
    images: int
    hosts: list[tuple[str, int]]
    warnings: tuple[Problem, ...]
    layout: TableLayout

    def document(self) -> dict[str, Any]:
        header, layout = self.layout.header, self.layout
        return {
            "rows": self.rows,
            "images": self.images,
            "hosts": [{"host": host, "images": images} for host, images in self.hosts],
            "warnings": [warning.as_dict() for warning in self.warnings],
            "columns": {
                "serial": None if layout.serial is None else header[layout.serial],
                "name": None if layout.name is None else header[layout.name],
                "links": [header[column] for column in layout.links],
            },
        }


def checked(reader: Reader) -> Checked:
    """Read a file to its end, row by row. Blocks."""
    hosts = HostCounter()
    records = rows.parse(reader.canonical())
    next(records, None)
    for cells in records:
        for entry in reader.layout.entries(cells):
            hosts.add(entry)
    shown = hosts.most_common(SHOWN_HOSTS)
    return Checked(len(reader.index), reader.images, shown, tuple(reader.warnings), reader.layout)


class HostCounter:
    """Counts the links of each host, in bounded memory."""

    def __init__(self) -> None:
        self._images: Counter[str] = Counter()

    def add(self, entry: str) -> None:
        """Count the host that is asked first for an entry; one that can't be fetched has none."""
        meant = links.read(entry)
        if isinstance(meant, links.BadLink):
            return
        self._images[urlsplit(meant[0].url).hostname or ""] += 1
        if len(self._images) > 2 * MAX_HOSTS:
            self._images = Counter(dict(self._images.most_common(MAX_HOSTS)))

    def most_common(self, count: int) -> list[tuple[str, int]]:
        """The hosts with most images, by name where they have as many."""
        return sorted(self._images.items(), key=lambda item: (-item[1], item[0]))[:count]
