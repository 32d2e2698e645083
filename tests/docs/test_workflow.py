"""The workflow for a public forge: actionlint finds nothing, and it runs what every change runs."""

import subprocess
from pathlib import Path

import pytest

from imagebatch_testing import needed
from imagebatch_testing.chart import Json, load
from imagebatch_testing.cluster import prerequisites

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


@pytest.fixture(scope="session")
def actionlint() -> Path:
    return needed.program("actionlint")


def found_in(text: str, actionlint: Path) -> str:
    """What actionlint says of a workflow. It would ask shellcheck if that is here; not all machines have it."""
    command = [str(actionlint), "-shellcheck=", "-pyflakes=", "-no-color", "-oneline", "-"]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, cwd=ROOT).stdout


@pytest.mark.cluster
def test_actionlint_finds_nothing(actionlint: Path) -> None:
    assert found_in(WORKFLOW.read_text(), actionlint) == ""


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("runs-on", "run-on"), 'unexpected key "run-on"'),
        (("github.ref", "github.reff"), 'property "reff" is not defined'),
        (("ubuntu-24.04", "ubuntu-3.11"), 'label "ubuntu-3.11" is unknown'),
    ],
    ids=["key", "expression", "runner"],
)
def test_actionlint_would_find_a_mistake(actionlint: Path, change: tuple[str, str], says: str) -> None:
    assert says in found_in(WORKFLOW.read_text().replace(*change), actionlint)


def workflow() -> Json:
    (document,) = load(WORKFLOW.read_text())
    return document


def test_the_workflow_runs_what_every_change_runs() -> None:
    (job,) = workflow()["jobs"].values()
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_its_machine_has_what_the_tests_do_not_skip_in_ci() -> None:
    (job,) = workflow()["jobs"].values()
    (installed,) = [step["run"].split() for step in job["steps"] if "apt-get install" in step.get("run", "")]
    in_each_debian = {"mount", "util-linux", "tar"}
    assert set(prerequisites.PACKAGES.values()) - in_each_debian <= set(installed)
    assert {"python3-venv", "rustc", "cargo", "nodejs", "curl", "valgrind"} <= set(installed)


def test_actions_are_pinned_by_their_commit() -> None:
    used = [step["uses"] for job in workflow()["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    for name in used:
        _, _, commit = name.partition("@")
        assert len(commit) == 40
        assert int(commit, 16)
