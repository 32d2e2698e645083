"""The Go programs, built once into the cache, each in a folder named by what it was built from."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from imagebatch_testing.cluster import prerequisites
from imagebatch_testing.cluster.command import run
from imagebatch_testing.cluster.errors import UnavailableError
from imagebatch_testing.cluster.layout import REPOSITORY, SOURCES, cache, digest, digest_of_files

TOOLS = {
    "actionlint": "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12",
    "helm": "helm.sh/helm/v3/cmd/helm@v3.19.2",
    "kind": "sigs.k8s.io/kind@v0.30.0",
    "kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0",
}
BUILD_S = 1800.0
"""Kubernetes takes ten minutes on two busy cores."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program in the cache: where it is, and how Go makes it."""

    name: str
    path: Path
    command: tuple[str, ...]
    source: Path | None = None

    def build(self) -> Path:
        """Its path; built if it is not there yet, and moved there at once."""
        if self.path.exists():
            return self.path
        fresh = self.path.parent.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        run(_go(), *self.command, timeout_s=BUILD_S, cwd=self.source, env=_environment(fresh))
        _remove_older(self)
        fresh.replace(self.path.parent)
        return self.path


def kubernetes() -> Program:
    return _ours("kubernetes", _version_flags())


def coredns() -> Program:
    return _ours("coredns")


def policies() -> Program:
    return _ours("policies")


def pause() -> Program:
    return _ours("pause")


def receiver() -> Program:
    """The example of a receiver of webhooks; it needs nothing but Go, and no network."""
    return _built("receiver", REPOSITORY / "examples" / "receivers" / "go")


def tool(name: str) -> Program:
    """One of TOOLS, by `go install` at its version."""
    module = TOOLS[name]
    return Program(name, _place(name, digest(module)), ("install", "-trimpath", "-ldflags", "-s -w", module))


def found(name: str) -> Path:
    """One of TOOLS: at our version where there is Go, else whichever the machine has."""
    if prerequisites.go() is not None:
        return tool(name).build()
    return _on_path(name)


def kubectl() -> tuple[str, ...]:
    """The start of a command line: ours if it is built already, else the machine's, else ours."""
    if not kubernetes().path.exists() and shutil.which("kubectl"):
        return (str(_on_path("kubectl")),)
    return (str(kubernetes().build()), "kubectl")


def _on_path(name: str) -> Path:
    path = shutil.which(name)
    if path is None:
        raise UnavailableError(f"there is neither Go nor the program {name}")
    return Path(path)


def _ours(name: str, flags: str = "") -> Program:
    return _built(name, SOURCES / name, flags)


def _built(name: str, source: Path, flags: str = "") -> Program:
    linked = f"-s -w {flags}".strip()
    command = ("install", "-trimpath", "-ldflags", linked, ".")
    return Program(name, _place(name, digest(linked, digest_of_files(source))), command, source)


def _place(name: str, version: str) -> Path:
    return cache() / "programs" / f"{name}-{version}" / name


def _version_flags() -> str:
    """Without these the API server says v0.0.0, and clients that compare versions are confused."""
    found = re.search(r"k8s\.io/kubernetes (v(\d+)\.(\d+)\S+)", (SOURCES / "kubernetes/go.mod").read_text())
    assert found
    stamps = {"gitVersion": found[1], "gitMajor": found[2], "gitMinor": found[3], "gitTreeState": "clean"}
    variable = "k8s.io/component-base/version"
    return " ".join(f"-X {variable}.{name}={value}" for name, value in stamps.items())


def _go() -> str:
    found = prerequisites.go()
    if found is None:
        raise UnavailableError("there is no program go")
    return found


def _environment(target: Path) -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(target), "GOWORK": "off"}


def _remove_older(program: Program) -> None:
    for folder in program.path.parent.parent.glob(f"{program.name}-*"):
        if not folder.suffix:
            shutil.rmtree(folder)
