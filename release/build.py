"""Builds what a release consists of, each function one kind of it, into a folder."""

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from release.errors import ReleaseError
from release.source import Commit
from release.version import MEMBERS

IMAGES = ("api", "operator", "jobrunner")
BUILDERS = ("buildah", "docker", "podman")
SUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Build:
    """What is built from (the files of `commit`, in `source`), as what, and where to."""

    commit: Commit
    source: Path
    version: str
    target: Path

    def run(self, *words: str | Path, stdin: str | None = None) -> str:
        """What a program prints that succeeds. Raises ReleaseError with what it said."""
        env = {**os.environ, "SOURCE_DATE_EPOCH": self.commit.time}
        command = [str(word) for word in words]
        ended = subprocess.run(
            command, input=stdin, cwd=self.source, env=env, capture_output=True, text=True, check=False
        )
        if ended.returncode:
            said = (ended.stderr or ended.stdout).strip()
            raise ReleaseError(f"{' '.join(command[:3])} ended with {ended.returncode}:\n{said}")
        return ended.stdout


def program(*names: str) -> str:
    """The first of these programs that is here. Raises ReleaseError when none is."""
    for name in names:
        beside = Path(sys.executable).with_name(name)  # the ones of .venv
        found = str(beside) if beside.exists() else shutil.which(name)
        if found:
            return found
    raise ReleaseError(f"there is no program {' or '.join(names)}")


def wheels(build: Build) -> None:
    """One a member; the jobrunner's is of this platform where there is a Rust compiler."""
    for member in MEMBERS:
        build.run(
            program("uv"), "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable,
            "--out-dir", build.target, build.source / member,
        )  # fmt: skip
    (build.target / ".gitignore").unlink(missing_ok=True)  # uv's


def chart(build: Build) -> None:
    build.run(program("helm"), "package", "charts/imagebatch", "--destination", build.target)


def sboms(build: Build) -> None:
    """A CycloneDX document a member; each takes seconds of one core."""
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(lambda member: _sbom(build, member), MEMBERS):
            pass


def _sbom(build: Build, member: str) -> None:
    """A member's pins with their hashes, and the other members that it needs."""
    project = build.source / member / "pyproject.toml"
    named = tomllib.loads(project.read_text())["project"]
    ours = [f"{name}=={build.version}" for name in named["dependencies"] if name.startswith("imagebatch")]
    pins = (build.source / "requirements" / f"{member}.txt").read_text()
    build.run(
        sys.executable, "-m", "cyclonedx_py", "requirements", "--pyproject", project, "--validate",
        "--output-reproducible",
        "--output-file", build.target / f"{named['name']}-{build.version}.cdx.json", "-",
        stdin="\n".join([pins, *ours]),
    )  # fmt: skip


def images(build: Build, registry: str) -> None:
    """The three images with the version as their tag, in the builder's own store; images.txt names them."""
    builder = program(*BUILDERS)
    lines = []
    for member in IMAGES:
        tag = f"{registry}imagebatch-{member}:{build.version}"
        noted = build.target / f"{member}.id"
        build.run(
            builder, "build", "--file", f"{member}/Dockerfile", "--tag", tag, "--iidfile", noted,
            "--label", f"org.opencontainers.image.version={build.version}",
            "--label", f"org.opencontainers.image.revision={build.commit.id}", ".",
        )  # fmt: skip
        lines.append(f"{tag} {noted.read_text().strip()}\n")
        noted.unlink()
    (build.target / "images.txt").write_text("".join(lines))


def sums(build: Build) -> None:
    """For `sha256sum --check SHA256SUMS`."""
    files = sorted(path for path in build.target.iterdir() if path.name != SUMS)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (build.target / SUMS).write_text("".join(lines))
