"""The source of a release: the commit, and nothing that lies about beside it."""

import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from release.errors import ReleaseError


@dataclass(frozen=True, slots=True)
class Commit:
    """The newest commit of a clean checkout."""

    root: Path
    id: str
    time: str
    """Seconds since 1970: what builds take for now, so that they make the same bytes each time."""

    def export(self, folder: Path) -> None:
        """Write its files into a folder."""
        archive = subprocess.run(["git", "archive", self.id], cwd=self.root, capture_output=True, check=True)
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(folder, filter="data")


def clean_commit(root: Path) -> Commit:
    """Raises ReleaseError when something is changed, or is not committed."""
    changed = _git(root, "status", "--porcelain").splitlines()
    if changed:
        raise ReleaseError(f"the checkout is not clean, commit it first: {changed[0][3:]}")
    commit, time = _git(root, "log", "-1", "--format=%H %ct").split()
    return Commit(root, commit, time)


def _git(root: Path, *words: str) -> str:
    ended = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise ReleaseError(f"git {words[0]}: {ended.stderr.strip()}")
    return ended.stdout
