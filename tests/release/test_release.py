"""`make version` and `make release`, on a copy of this checkout with a history of its own."""

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from imagebatch_testing import needed
from imagebatch_testing.chart import load

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]  # it needs helm, which Go builds

ROOT = Path(__file__).resolve().parents[2]
VERSION = "9.8.7"
MEMBERS = {
    "core": "imagebatch",
    "api": "imagebatch-api",
    "operator": "imagebatch-operator",
    "jobrunner": "imagebatch-jobrunner",
    "client": "imagebatch-client",
    "cli": "imagebatch-cli",
}
IDENTITY = {
    f"GIT_{who}_{what}": "tests@shop.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}
BUILDER = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/words"
while [ "$1" != --iidfile ]; do shift; done
echo sha256:abc >"$2"
"""
"""In place of buildah: images need a registry for what they are built on."""


@dataclass(frozen=True)
class Checkout:
    """A checkout, and where its programs are looked for first."""

    root: Path
    programs: Path

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        path = f"{self.programs}:{os.environ['PATH']}"
        env = {**os.environ, **IDENTITY, "PATH": path, "UV_OFFLINE": "1"}
        return subprocess.run(
            [str(word) for word in words], cwd=self.root, env=env, capture_output=True, text=True, check=False
        )

    def git(self, *words: str) -> None:
        self.run("git", *words).check_returncode()

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=A change")

    def release(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "release", *words)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return a_checkout(tmp_path)


def a_checkout(folder: Path) -> Checkout:
    """What is in this checkout, committed or not, as the one commit of another."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists() and not name.startswith("examples/images/"):  # megabytes of pictures
            (folder / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / "checkout" / name)
    (folder / "programs").mkdir()
    made = Checkout(folder / "checkout", folder / "programs")
    made.git("init", "--quiet")
    made.commit()
    return made


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a release."""
    made = a_checkout(tmp_path_factory.mktemp("released"))
    (made.programs / "helm").symlink_to(needed.program("helm"))
    assert made.release("version", VERSION).returncode == 0
    made.commit()
    ended = made.release("build", VERSION, "--without-images")
    assert ended.returncode == 0, ended.stderr
    assert "Without the container images" in ended.stdout
    assert made.run("git", "status", "--porcelain").stdout == ""
    assert [path.name for path in (made.root / "dist").iterdir()] == [VERSION]
    return made.root / "dist" / VERSION


def test_a_release_has_each_wheel_sbom_and_the_chart(released: Path) -> None:
    names = {re.sub(r"-py3-none-\w+\.whl", ".whl", path.name) for path in released.iterdir()}
    assert names == {
        "SHA256SUMS",
        f"imagebatch-{VERSION}.tgz",
        *(f"{name.replace('-', '_')}-{VERSION}.whl" for name in MEMBERS.values()),
        *(f"{name}-{VERSION}.cdx.json" for name in MEMBERS.values()),
    }


def test_the_sums_are_those_of_the_files(released: Path) -> None:
    lines = [line.split("  ") for line in (released / "SHA256SUMS").read_text().splitlines()]
    assert {name for _, name in lines} == {path.name for path in released.iterdir()} - {"SHA256SUMS"}
    assert [
        name for found, name in lines if hashlib.sha256((released / name).read_bytes()).hexdigest() != found
    ] == []


def test_the_wheels_make_a_command_that_tells_the_version(released: Path, tmp_path: Path) -> None:
    """In an environment of their own; what they need is taken from this one, which has nothing of ours but links."""
    uv = Path(sys.executable).with_name("uv")
    fresh = tmp_path / "venv"
    wheels = sorted(released.glob("*.whl"))
    for words in (
        ("venv", "--quiet", "--python", sys.executable, fresh),
        (
            "pip",
            "install",
            "--quiet",
            "--offline",
            "--no-deps",
            "--python",
            fresh / "bin" / "python",
            *wheels,
        ),
    ):
        subprocess.run([str(word) for word in (uv, *words)], check=True)
    (packages,) = fresh.glob("lib/python*/site-packages")
    (packages / "needed.pth").write_text(str(Path(pytest.__file__).parents[1]))
    told = subprocess.run(
        [fresh / "bin" / "imagebatch", "--version"], capture_output=True, text=True, check=True
    )
    assert told.stdout.startswith(f"ImageBatch {VERSION}")
    program = "import imagebatch_cli, imagebatch_jobrunner as r; print(imagebatch_cli.__file__, r.__file__)"
    came = subprocess.run(
        [fresh / "bin" / "python", "-c", program], capture_output=True, text=True, check=True
    )
    assert all(path.startswith(str(fresh)) for path in came.stdout.split())


def test_a_wheel_has_its_program_and_nothing_of_the_tests(released: Path) -> None:
    (wheel,) = released.glob("imagebatch_jobrunner-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (record,) = [name for name in names if name.endswith("/RECORD")]
        recorded = [line[0] for line in csv.reader(archive.read(record).decode().splitlines())]
    assert set(recorded) == set(names)
    assert "imagebatch_jobrunner/__main__.py" in names
    assert [name for name in names if "test" in Path(name).parts or name.endswith(".rs")] == []


def test_helm_takes_the_chart_for_that_version(released: Path) -> None:
    command = [str(needed.program("helm")), "show", "chart", str(released / f"imagebatch-{VERSION}.tgz")]
    (shown,) = load(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert (shown["name"], shown["version"], shown["appVersion"]) == ("imagebatch", VERSION, VERSION)


@pytest.mark.parametrize("member", MEMBERS)
def test_an_sbom_names_each_package_that_is_pinned(released: Path, member: str) -> None:
    text = (released / f"{MEMBERS[member]}-{VERSION}.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    root = document["metadata"]["component"]
    assert (root["name"], root["version"]) == (MEMBERS[member], VERSION)
    found = {f"{each['name']}=={each['version']}" for each in document["components"]}
    pins = (ROOT / "requirements" / f"{member}.txt").read_text()
    pinned = set(re.findall(r"^([\w.-]+==[\w.]+)", pins, re.MULTILINE))
    assert len(pinned) >= 5
    ours = {name for name in found if name.startswith("imagebatch")}
    assert found - ours == pinned
    assert all(name.endswith(f"=={VERSION}") for name in ours)
    assert (f"imagebatch=={VERSION}" in ours) == (member in {"api", "operator", "jobrunner", "cli"})
    hashed = [each for each in document["components"] if each["name"] == "httpx"]
    assert all(each["externalReferences"][0]["hashes"] for each in hashed)


def test_images_have_the_version_as_their_tag(checkout: Checkout, tmp_path: Path) -> None:
    builder = checkout.programs / "buildah"
    builder.write_text(BUILDER)
    builder.chmod(0o755)
    program = (
        "from pathlib import Path; from release import build, source;"
        f"made = build.Build(source.clean_commit(Path()), Path(), {VERSION!r}, Path({str(tmp_path)!r}));"
        "build.images(made, 'registry.example/team/')"
    )
    checkout.run(sys.executable, "-c", program).check_returncode()
    names = [
        f"registry.example/team/imagebatch-{member}:{VERSION}" for member in ("api", "operator", "jobrunner")
    ]
    assert (tmp_path / "images.txt").read_text().splitlines() == [f"{name} sha256:abc" for name in names]
    calls = (checkout.programs / "words").read_text().splitlines()
    head = checkout.run("git", "rev-parse", "HEAD").stdout.strip()
    for call, name in zip(calls, names, strict=True):
        dockerfile = call.split()[call.split().index("--file") + 1]
        assert (checkout.root / dockerfile).is_file()
        assert f"--tag {name} " in call
        assert f"revision={head}" in call


# -- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "version", ["", "1", "1.2", "v1.2.3", "1.2.3rc1", "1.2.3-rc.1", "01.2.3", "1.2.3 ", "\u0661.2.3"]
)
@pytest.mark.parametrize("what", ["version", "build"])
def test_what_is_no_version_to_both_python_and_helm_is_refused(what: str, version: str) -> None:
    ended = Checkout(ROOT, Path()).release(what, version)
    assert ended.returncode == 1
    assert "is no version" in ended.stderr


def test_a_checkout_that_is_not_clean_is_refused(checkout: Checkout) -> None:
    (checkout.root / "core" / "new.py").write_text("")
    ended = checkout.release("build", VERSION)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "commit it first: core/new.py" in ended.stderr


def test_a_version_that_stands_elsewhere_is_refused(checkout: Checkout) -> None:
    assert f"make version VERSION={VERSION}" in checkout.release("build", VERSION).stderr


def test_a_version_without_a_section_is_refused(checkout: Checkout) -> None:
    checkout.release("version", VERSION)
    checkout.git("checkout", "--quiet", "CHANGELOG.md")
    checkout.commit()
    assert f"CHANGELOG.md has no section {VERSION}" in checkout.release("build", VERSION).stderr


def test_a_version_is_written_once_and_nothing_is_lost(checkout: Checkout) -> None:
    before = (checkout.root / "CHANGELOG.md").read_text().splitlines()
    assert checkout.release("version", VERSION).returncode == 0
    after = (checkout.root / "CHANGELOG.md").read_text().splitlines()
    added = [line for line in after if line.startswith(f"## {VERSION} - ")]
    assert len(added) == 1
    assert [line for line in after if line not in added and line] == [line for line in before if line]
    assert after[after.index("## Unreleased") + 2] == added[0]
    ended = checkout.release("version", VERSION)
    assert ended.returncode == 1
    assert "already" in ended.stderr
    assert "nothing under Unreleased" in checkout.release("version", "9.9.9").stderr


def test_the_version_is_everywhere_the_same(checkout: Checkout) -> None:
    """Also where nobody writes it: a file that would keep the old one when a new one is written."""
    old = load((ROOT / "charts" / "imagebatch" / "Chart.yaml").read_text())[0]["version"]
    for name in MEMBERS:
        assert f'\nversion = "{old}"\n' in (ROOT / name / "pyproject.toml").read_text()
    checkout.release("version", VERSION)
    left = checkout.run(
        "git", "grep", "-lE", rf"(imagebatch\S*:|[vV]ersion\W{{1,5}}){re.escape(old)}\b"
    ).stdout.split()
    crates = "jobrunner/native/"  # with a version of their own
    own = "jobrunner/src/imagebatch_jobrunner/decoder/jpeg/requantiser.py"
    assert [name for name in left if not name.startswith(crates) and name not in {own, "CHANGELOG.md"}] == []


def test_make_gives_on_what_it_is_given() -> None:
    said = subprocess.run(
        ["make", "--dry-run", "release", "VERSION=1.2.3", "REGISTRY=registry.example/team", "IMAGES=no"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert 'python -m release build "1.2.3" --registry "registry.example/team" --without-images\n' in said
    said = subprocess.run(
        ["make", "--dry-run", "version", "VERSION=1.2.3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert 'python -m release version "1.2.3"\n' in said
