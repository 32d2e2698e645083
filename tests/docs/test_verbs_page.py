"""docs/verbs.md: each cell of the table names a test that is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINE = re.compile(r"^\| (?!verb)([^|]+) \|(.+)\|$", re.MULTILINE)
CELLS = 4


def test_each_cell_of_verb_and_door_names_a_test() -> None:
    page = (ROOT / "docs" / "verbs.md").read_text()
    table = {verb: cells.split("|") for verb, cells in LINE.findall(page)}
    assert len(table) >= 13
    assert {verb: len(cells) for verb, cells in table.items() if len(cells) != CELLS} == {}
    sources = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    for verb, cells in table.items():
        for cell in map(str.strip, cells):
            name = re.fullmatch(r"`(test_\w+)`", cell)
            assert name is not None, f"{verb}: {cell} is no test"
            assert any(f"def {name[1]}(" in source for source in sources), f"{verb}: {name[1]}"
