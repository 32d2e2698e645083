"""The cluster as tests see it, whichever it is: what they ask it, and what they do to it."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Protocol

from imagebatch_testing.cluster.command import SOON_S, ended, run


class Engine(Protocol):
    """What is done to a node behind the back of Kubernetes."""

    def signal(self, container_id: str, name: str) -> None:
        """Send a signal to the main process of a container."""
        ...

    def tag(self, reference: str, new: str) -> None:
        """Give an image of the node another name."""
        ...


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running cluster with our images in it."""

    kubeconfig: Path
    kubectl_command: tuple[str, ...]
    """kubectl with the kubeconfig, as the start of a command line."""

    helm: Path
    images: Mapping[str, str]
    """Member -> reference of its image."""

    host_address: str
    """Where pods reach the servers that tests start."""

    engine: Engine

    audit: Path | None = None
    """The API server's audit log, where this machine can read it."""

    def kubectl(self, *words: str | Path, input: str | None = None, timeout_s: float = SOON_S) -> str:  # noqa: A002
        """What kubectl says. Raises ClusterError with its complaint."""
        return run(*self.kubectl_command, *words, stdin=input, timeout_s=timeout_s)

    def try_kubectl(self, *words: str | Path, input: str | None = None) -> CompletedProcess[str]:  # noqa: A002
        """How kubectl ended, and what it said, for tests about refusals."""
        return ended(*self.kubectl_command, *words, stdin=input)

    def get(self, *words: str) -> dict[str, Any]:
        """An object, or a list of them, as Kubernetes has it."""
        found: dict[str, Any] = json.loads(self.kubectl("get", *words, "--output=json"))
        return found

    def apply(self, *documents: Mapping[str, Any]) -> None:
        items = {"apiVersion": "v1", "kind": "List", "items": documents}
        self.kubectl("apply", "--filename=-", input=json.dumps(items))

    def run_helm(self, *words: str | Path, timeout_s: float = 300.0) -> str:
        """What helm says. Raises ClusterError with its complaint."""
        env = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        return run(self.helm, *words, env=env, timeout_s=timeout_s)

    def kill(self, namespace: str, pod: str, container: str, signal: str = "SIGKILL") -> None:
        """Kill the main process of a container as the kernel would, without a word to Kubernetes."""
        self.engine.signal(self._container_id(namespace, pod, container), signal)

    def evict(self, namespace: str, pod: str) -> None:
        """Evict a pod as a drain of its node would."""
        eviction = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
        }
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction"
        self.kubectl("create", "--raw", path, "--filename=-", input=json.dumps(eviction))

    def next_image(self, member: str) -> str:
        """The same image under a second tag, as a release to upgrade to."""
        reference = f"{self.images[member]}-next"
        self.engine.tag(self.images[member], reference)
        return reference

    def _container_id(self, namespace: str, pod: str, container: str) -> str:
        statuses = self.get("pod", pod, f"--namespace={namespace}")["status"]["containerStatuses"]
        (found,) = (status["containerID"] for status in statuses if status["name"] == container)
        return str(found).removeprefix("containerd://")
