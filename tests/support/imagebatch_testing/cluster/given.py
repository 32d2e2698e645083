"""A cluster that somebody else made, with our images in it already."""

import os
from pathlib import Path

from imagebatch_testing.cluster import programs
from imagebatch_testing.cluster.access import Cluster
from imagebatch_testing.cluster.errors import ClusterError, UnavailableError
from imagebatch_testing.cluster.layout import MEMBERS

KUBECONFIG = "IMAGEBATCH_E2E_KUBECONFIG"
IMAGES = "IMAGEBATCH_E2E_IMAGES"
HOST_ADDRESS = "IMAGEBATCH_E2E_HOST_ADDRESS"


class Unreachable:
    """The nodes of a cluster that is not ours."""

    def signal(self, container_id: str, name: str) -> None:
        raise ClusterError(f"no way to send {name} to container {container_id} of a given cluster")

    def tag(self, reference: str, new: str) -> None:
        raise ClusterError(f"no way to tag {reference} as {new} on a given cluster")


def cluster() -> Cluster:
    kubeconfig = Path(os.environ[KUBECONFIG]).resolve()
    images = _setting(IMAGES, "the references of the images, as in registry.example/imagebatch-{}:tag")
    return Cluster(
        kubeconfig,
        (*programs.kubectl(), f"--kubeconfig={kubeconfig}"),
        programs.found("helm"),
        {member: images.replace("{}", member) for member in MEMBERS},
        _setting(HOST_ADDRESS, "the address under which pods reach this machine"),
        Unreachable(),
    )


def _setting(name: str, meaning: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise UnavailableError(f"beside {KUBECONFIG}, {name} must say {meaning}")
    return value
