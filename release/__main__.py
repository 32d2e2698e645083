"""python -m release version|build VERSION, at the root of a checkout. Called by make."""

import argparse
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from release import build, changelog, source, version
from release.build import Build
from release.errors import ReleaseError


def main() -> int:
    given = arguments()
    root = Path.cwd()
    try:
        version.check_form(given.version)
        if given.what == "version":
            write_version(root, given.version)
        else:
            make(root, given.version, registry=given.registry, with_images=not given.without_images)
    except ReleaseError as error:
        print(f"No release: {error}", file=sys.stderr)
        return 1
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m release")
    parser.add_argument("what", choices=["version", "build"])
    parser.add_argument("version")
    parser.add_argument("--without-images", action="store_true", help="leave the container images out")
    parser.add_argument(
        "--registry", default="", help="put before the images' names, as in registry.example/team"
    )
    return parser.parse_args()


def write_version(root: Path, new: str) -> None:
    """Write the version to every place, and its section into CHANGELOG.md."""
    path = root / "CHANGELOG.md"
    text = changelog.started(path.read_text(), new, datetime.now(UTC).date().isoformat())
    version.write(root, new)
    path.write_text(text)
    print(f"The version is {new}. Commit that, then: make release VERSION={new}")


def make(root: Path, new: str, *, registry: str, with_images: bool) -> None:
    """Build all of it into dist/VERSION, which is there when it is whole."""
    commit = source.clean_commit(root)
    version.check_places(root, new)
    changelog.check((root / "CHANGELOG.md").read_text(), new)
    target = root / "dist" / new
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        folder = Path(name)
        made = Build(commit, folder / "source", new, folder / "made")
        for each in (made.source, made.target):
            each.mkdir()
        commit.export(made.source)
        build_all(made, registry, with_images=with_images)
        shutil.rmtree(target, ignore_errors=True)
        made.target.replace(target)
    for path in sorted(target.iterdir()):
        print(path.relative_to(root))
    print(f"That is {new}. Tag it: git tag v{new} {commit.id[:12]}")


def build_all(made: Build, registry: str, *, with_images: bool) -> None:
    build.wheels(made)
    build.chart(made)
    build.sboms(made)
    if with_images:
        build.images(made, f"{registry.rstrip('/')}/" if registry else "")
    else:
        print("Without the container images, as asked for.")
    build.sums(made)


if __name__ == "__main__":
    sys.exit(main())
