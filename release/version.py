"""The version, and every place in which it stands. Only this module writes it."""

import re
from dataclasses import dataclass
from pathlib import Path

from release.errors import ReleaseError

MEMBERS = ("core", "api", "operator", "jobrunner", "client", "cli")
FORM = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)", re.ASCII)
"""What is a version to Python (PEP 440) and to helm (semver) alike. Their pre-releases look different."""


@dataclass(frozen=True, slots=True)
class Place:
    """A file, and what stands before the version in it, as a pattern."""

    file: str
    before: str

    def read(self, root: Path) -> set[str]:
        """The versions that stand there. Raises ReleaseError when there is none."""
        found = {match[2] for match in self._pattern.finditer((root / self.file).read_text())}
        if not found:
            raise ReleaseError(f"{self.file} has no version")
        return found

    def write(self, root: Path, version: str) -> None:
        path = root / self.file
        path.write_text(self._pattern.sub(rf"\g<1>{version}", path.read_text()))

    @property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"({self.before})({FORM.pattern})", re.MULTILINE)


PLACES = (
    Place("pyproject.toml", r'^version = "'),
    *(Place(f"{member}/pyproject.toml", r'^version = "') for member in MEMBERS),
    Place("charts/imagebatch/Chart.yaml", r"^(?:appVersion|version): "),
    Place("docs/kubernetes.md", r"registry\.example/imagebatch-\$part:"),
    Place("docs/recipes.md", r"targetRevision: v"),
)


def check_form(version: str) -> None:
    """Raises ReleaseError unless it is three numbers."""
    if not FORM.fullmatch(version):
        raise ReleaseError(f"{version!r} is no version: it must be three numbers, such as 1.2.3")


def check_places(root: Path, version: str) -> None:
    """Raises ReleaseError unless the version stands everywhere."""
    others = sorted(place.file for place in PLACES if place.read(root) != {version})
    if others:
        raise ReleaseError(
            f"{version} does not stand in {others[0]}: make version VERSION={version}, and commit it"
        )


def write(root: Path, version: str) -> None:
    """Write the version to all places. Raises ReleaseError before it wrote to any."""
    for place in PLACES:
        place.read(root)
    for place in PLACES:
        place.write(root, version)
