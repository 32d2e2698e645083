"""The links of a file, as ingest reads them: how many there are, and warnings about those that will fail."""

from collections.abc import Iterator

from imagebatch import links
from imagebatch.errors import Problem

MAX_WARNINGS = 20


class FoundLinks:
    """`images` counts the entries of all cells, `links` those of them that look like links."""

    def __init__(self) -> None:
        self.images = 0
        self.links = 0
        self._warnings: list[Problem] = []
        self._warning_count = 0

    def add_plain(self, count: int) -> None:
        """Count links that nothing is wrong with."""
        self.images += count
        self.links += count

    def add(self, cell: str, line: int) -> int:
        """Count the entries of a cell, whose row ends in `line`; returns how many."""
        count = links.count_plain(cell)
        if count:
            self.add_plain(count)
            return count
        found = links.entries(cell)
        for entry in found.entries:
            self._read(entry, line)
        if found.doubt:
            self._warn("ambiguous_links", f"{len(found.entries)} links: {found.doubt}", line)
        self.images += len(found.entries)
        return len(found.entries)

    def _read(self, entry: str, line: int) -> None:
        meant = links.read(entry)
        if isinstance(meant, links.BadLink):
            self.links += links.looks_like_link(entry)
            self._warn("bad_link", f"this link will fail: {meant.message} ({meant.code})", line)
        else:
            self.links += 1

    def _warn(self, code: str, reason: str, line: int) -> None:
        self._warning_count += 1
        if len(self._warnings) < MAX_WARNINGS:
            self._warnings.append(Problem(code, reason, line))

    def warnings(self) -> Iterator[Problem]:
        """The first ones, and how many more there are."""
        yield from self._warnings
        if self._warning_count > len(self._warnings):
            more = self._warning_count - len(self._warnings)
            yield Problem(self._warnings[-1].code, f"{more} more links are like these")
