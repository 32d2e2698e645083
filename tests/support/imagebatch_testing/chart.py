"""The Helm chart as tests see it: rendered, and read back as objects."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[3]
CHART = ROOT / "charts" / "imagebatch"
VALUES_FILES = {path.stem: path for path in sorted(CHART.glob("ci/*.yaml"))}
RELEASE = "imagebatch"
NAMESPACE = "shop"
KUBERNETES = "1.31.0"
"""The oldest that the chart is for; a helm that Go built says of itself that it is for 1.20."""

RENDER_S = 60

Json = dict[str, Any]


class RefusedError(Exception):
    """What helm says instead of manifests."""


def load(text: str) -> list[Json]:
    """The documents of a YAML text, without empty ones."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return [document for document in yaml.load_all(text, Loader=loader) if document]


def values_of(path: Path) -> Json:
    (values,) = load(path.read_text())
    return values


@dataclass(frozen=True)
class Manifests:
    """What the chart renders for some values."""

    text: str

    @cached_property
    def objects(self) -> list[Json]:
        return load(self.text)

    def all(self, kind: str) -> list[Json]:
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, name: str, namespace: str = NAMESPACE) -> Json:
        (found,) = (
            found
            for found in self.all(kind)
            if (found["metadata"]["name"], found["metadata"].get("namespace", namespace)) == (name, namespace)
        )
        return found

    @property
    def workloads(self) -> list[Json]:
        """Everything that has a pod template."""
        return [found for found in self.objects if "template" in found.get("spec", {})]


@dataclass(frozen=True)
class Helm:
    """The program, and what it makes of the chart."""

    program: Path

    def render(
        self, *files: Path, chart: Path = CHART, namespace: str = NAMESPACE, values: Mapping[str, Any] = {}
    ) -> Manifests:
        """Render for files of values, then values by their dotted paths. Raises RefusedError."""
        words = (*_values_words(files, values), f"--namespace={namespace}", f"--kube-version={KUBERNETES}")
        return Manifests(self._run("template", RELEASE, chart, *words))

    def lint(self, file: Path) -> str:
        return self._run("lint", "--strict", CHART, f"--values={file}")

    def _run(self, *words: str | Path) -> str:
        env = {name: value for name, value in os.environ.items() if name != "KUBECONFIG"}
        ended = subprocess.run(
            [self.program, *words], capture_output=True, text=True, timeout=RENDER_S, check=False, env=env
        )
        if ended.returncode:
            raise RefusedError(ended.stderr + ended.stdout)
        return ended.stdout


def _values_words(files: Sequence[Path], values: Mapping[str, Any]) -> list[str]:
    return [
        *(f"--values={file}" for file in files),
        *(f"--set-json={path}={json.dumps(value)}" for path, value in values.items()),
    ]
