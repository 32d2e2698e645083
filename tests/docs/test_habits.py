"""docs/csv.md and docs/hosts.md: each line of their tables is a test."""

import re
from pathlib import Path

import pytest

from imagebatch import links

ROOT = Path(__file__).resolve().parents[2]
SHOWN = {"⏎": "\n", "⟨ZWSP⟩": "\u200b", "⟨BOM⟩": "\ufeff", "⟨LRM⟩": "\u200e"}


def lines(page: str, head: str) -> list[list[str]]:
    """The cells of each line of the table whose head begins so."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    start = text.index(f"\n| {head}") + 1
    table = text[start : text.index("\n\n", start) if "\n\n" in text[start:] else len(text)]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()[2:]]


def code(cell: str) -> list[str]:
    """What stands in a cell as code."""
    for shown, meant in SHOWN.items():
        cell = cell.replace(shown, meant)
    return [one.replace(r"\|", "|") for one in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("line", lines("csv.md", "in the cell"), ids=lambda line: line[0])
def test_the_entries_of_a_cell_are_those_of_the_page(line: list[str]) -> None:
    (cell,) = code(line[0])
    assert links.split(cell) == code(line[1])


@pytest.mark.parametrize("line", lines("csv.md", "the entry"), ids=lambda line: line[0])
def test_an_entry_is_fetched_as_the_page_says(line: list[str]) -> None:
    (entry,), (meant,) = code(line[0]), code(line[1])
    found = links.read(entry)
    if isinstance(found, links.BadLink):
        assert found.code == meant
        assert line[1].partition(": ")[2] in found.message
    else:
        assert found == (links.Address(meant, tuple(code(line[2]))),)


NAMED = [
    line[-1]
    for page, head in (("csv.md", "the file"), ("hosts.md", "| | test"), ("hosts.md", "the host"))
    for line in lines(page, head)
]


@pytest.mark.parametrize("named", NAMED)
def test_the_test_that_a_line_names_is_there(named: str) -> None:
    (name,) = code(named)
    assert name in defined(), f"there is no {name}"


def defined() -> set[str]:
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return {
        name for source in sources for name in re.findall(r"^(?:async )?def (test_\w+)", source, re.MULTILINE)
    }


def test_every_line_is_looked_at() -> None:
    assert len(lines("csv.md", "in the cell")) >= 20
    assert len(NAMED) >= 30
