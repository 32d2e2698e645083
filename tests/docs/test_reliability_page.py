"""docs/reliability.md: each line of the table names a test that is there, and nothing was lost."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINE = re.compile(
    r"^\| (.+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| `(test_\w+)` \|$", re.MULTILINE
)


def test_each_line_of_the_table_is_a_tests() -> None:
    found = LINE.findall((ROOT / "docs" / "reliability.md").read_text())
    assert len(found) >= 20
    sources = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")]
    for what, _, _, lost, _, test in found:
        assert any(f"def {test}(" in source for source in sources), f"{what}: {test}"
        assert lost == "0", what
