"""CONTRIBUTING.md: its first commands work, and what it names is there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()


def commands(name: str) -> list[list[str]]:
    """The words of each line of the block under `<!-- tested: NAME -->`."""
    found = re.search(rf"<!-- tested: {name} -->\n```sh\n(.+?)\n```", PAGE, re.DOTALL)
    assert found is not None
    return [shlex.split(line) for line in found[1].splitlines()]


def test_the_first_test_is_green() -> None:
    install, first = commands("first")
    assert install == ["make", "install"]
    assert first.pop(0) == ".venv/bin/pytest"
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *first],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    assert re.search(r"\b[1-9]\d* passed", ended.stdout)


def test_each_target_of_make_is_there() -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z]+)\b", PAGE, re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named >= {"install", "run", "check", "unit", "test", "version", "release", "pins"}
    assert named <= targets


@pytest.mark.parametrize("path", re.findall(r"tests/\w+(?:/\w+)*(?:\.py)?", PAGE))
def test_each_folder_of_tests_is_there(path: str) -> None:
    assert (ROOT / path).exists()
