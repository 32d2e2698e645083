"""Runs the tests of faults and writes what they found into the table of docs/reliability.md.

python docs/make_reliability.py
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE / "reliability.md"
TESTS = (
    "tests/e2e/test_crash_at_every_call.py",
    "tests/operator/test_crash_at_every_call.py",
    "tests/operator/test_api_troubles.py",
    "tests/e2e/test_crash.py",
    "tests/e2e/test_soak.py",
    "tests/e2e/test_s3_troubles.py",
    "tests/e2e/test_postgres_troubles.py",
    "tests/e2e/test_full_disk.py",
    "tests/jobrunner/test_on_s3.py",
)
HEAD = "| what was done to it | times | links | lost | done again | test |\n|---|---|---|---|---|---|\n"


def main() -> int:
    findings = HERE.parent / "build" / "findings.jsonl"
    findings.parent.mkdir(exist_ok=True)
    findings.unlink(missing_ok=True)
    environment = {**os.environ, "IMAGEBATCH_FINDINGS": str(findings)}
    command = [sys.executable, "-m", "pytest", *TESTS]
    done = subprocess.run(command, env=environment, check=False)  # noqa: S603 - our own tests
    if done.returncode:
        return done.returncode
    found = [json.loads(line) for line in findings.read_text().splitlines()]
    PAGE.write_text(with_table(PAGE.read_text(), found))
    return 0


def with_table(page: str, found: list[dict[str, Any]]) -> str:
    """The page with a line a finding in place of its table, which is its only one with these columns."""
    before, _, rest = page.partition(HEAD)
    _, blank, after = rest.partition("\n\n")
    lines = [_line(one) for one in sorted(found, key=lambda one: one["what"])]
    return before + HEAD + "\n".join(lines) + blank + after


def _line(one: dict[str, Any]) -> str:
    figures = (f"{one[name]:,}" for name in ("times", "links", "lost", "again"))
    cells = [one["what"], *figures, f"`{one['test']}`"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
