"""A cluster of kind, where a Docker engine answers."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagebatch_testing.cluster import programs
from imagebatch_testing.cluster.access import Cluster
from imagebatch_testing.cluster.command import run, succeeds
from imagebatch_testing.cluster.errors import ClusterError
from imagebatch_testing.cluster.images import Image
from imagebatch_testing.cluster.layout import MEMBERS, NAME, REPOSITORY, SOURCES, cache

CREATE_S = 600.0
BUILD_S = 900.0
NODE = f"{NAME}-control-plane"


class Docker:
    """The node of kind is a container of Docker, with containerd in it."""

    def signal(self, container_id: str, name: str) -> None:
        _containerd("tasks", "kill", "--signal", name, container_id)

    def tag(self, reference: str, new: str) -> None:
        _containerd("images", "tag", "--force", reference, new)


def has_docker() -> bool:
    return shutil.which("docker") is not None and succeeds("docker", "info", timeout_s=15)


@contextmanager
def running() -> Iterator[Cluster]:
    """One that is there is used and left; else one is made and deleted."""
    kind = programs.found("kind")
    images = {member: _build(member) for member in MEMBERS}
    kubeconfig = cache() / "kind.kubeconfig"
    is_new = NAME not in run(kind, "get", "clusters").split()
    try:
        if is_new:
            _create(kind, kubeconfig)
        run(kind, "export", "kubeconfig", "--name", NAME, "--kubeconfig", kubeconfig)
        _load(kind, images)
        yield _access(kubeconfig, images)
    finally:
        if is_new:
            run(kind, "delete", "cluster", "--name", NAME, "--kubeconfig", kubeconfig, timeout_s=CREATE_S)
            kubeconfig.unlink(missing_ok=True)


def _create(kind: Path, kubeconfig: Path) -> None:
    kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    run(
        kind, "create", "cluster", "--name", NAME, "--config", SOURCES / "kind-config.yaml",
        "--kubeconfig", kubeconfig, "--wait", "180s", timeout_s=CREATE_S,
    )  # fmt: skip


def _build(member: str) -> Image:
    file = REPOSITORY / member / "Dockerfile"
    built = run("docker", "build", "--quiet", "--file", file, REPOSITORY, timeout_s=BUILD_S)
    image = Image(member, built.strip().removeprefix("sha256:"))
    run("docker", "tag", image.id, image.reference)
    return image


def _load(kind: Path, images: dict[str, Image]) -> None:
    references = (image.reference for image in images.values())
    run(kind, "load", "docker-image", "--name", NAME, *references, timeout_s=BUILD_S)


def _access(kubeconfig: Path, images: dict[str, Image]) -> Cluster:
    return Cluster(
        kubeconfig,
        (*programs.kubectl(), f"--kubeconfig={kubeconfig}"),
        programs.found("helm"),
        {member: image.reference for member, image in images.items()},
        _gateway(),
        Docker(),
    )


def _gateway() -> str:
    """This machine's address in the network of kind's nodes."""
    asked = "{{range .IPAM.Config}}{{.Gateway}} {{end}}"
    gateways = run("docker", "network", "inspect", "kind", "--format", asked).split()
    for gateway in gateways:
        if "." in gateway:
            return gateway
    raise ClusterError(f"the network of kind has no IPv4 gateway: {gateways}")


def _containerd(*words: str) -> None:
    run("docker", "exec", NODE, "ctr", "--namespace", "k8s.io", *words)
