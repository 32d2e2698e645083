"""CHANGELOG.md: what is new stands under `## Unreleased`, each release under its version and date."""

import re

from release.errors import ReleaseError

UNRELEASED = "## Unreleased"


def check(text: str, version: str) -> None:
    """Raises ReleaseError unless the version has a section that says something."""
    found = re.search(
        rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    if found is None or not found[1].strip():
        raise ReleaseError(f"CHANGELOG.md has no section {version}: make version VERSION={version}")


def started(text: str, version: str, day: str) -> str:
    """The text with what is new in that version's section. Raises ReleaseError when nothing is new."""
    if re.search(rf"^## {re.escape(version)} - ", text, re.MULTILINE):
        raise ReleaseError(f"CHANGELOG.md has a section {version} already")
    found = re.search(rf"^{UNRELEASED}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None or not found[1].strip():
        raise ReleaseError("CHANGELOG.md says nothing under Unreleased")
    return f"{text[: found.start()]}{UNRELEASED}\n\n## {version} - {day}\n{found[1]}{text[found.end() :]}"
