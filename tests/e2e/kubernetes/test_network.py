"""The jobrunners' NetworkPolicy where one is enforced: a pod with their labels tries the doors of the cluster."""

import json
import uuid
from typing import Any

import pytest

from imagebatch_testing.cluster.access import Cluster
from imagebatch_testing.installation import RELEASE, Installation

pytestmark = pytest.mark.cluster

TRY = """
import json, pathlib, socket, sys, time

def answers(host, port):
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError:
        return False
    return True

doors, wanted = (json.loads(word) for word in sys.argv[1:])
for _ in range(15):  # a policy takes hold of a pod a moment after its start
    found = {name: answers(*door) for name, door in doors.items()}
    if found == wanted:
        break
    time.sleep(1)
token = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists()
print(json.dumps({"doors": found, "token": token}))
"""
JOBRUNNER = {
    "app.kubernetes.io/name": "imagebatch",
    "app.kubernetes.io/component": "jobrunner",
    "app.kubernetes.io/managed-by": "imagebatch-operator",
}
Doors = dict[str, tuple[str, int]]
METADATA = ("169.254.169.254", 80)


def tried(
    installation: Installation, labels: dict[str, str], doors: Doors, *, wanted: dict[str, bool]
) -> Any:
    """What a pod with these labels finds: which doors open, and whether it has a token."""
    name = f"tries-{uuid.uuid4().hex[:8]}"
    installation.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": installation.namespace, "labels": labels},
            "spec": {
                "restartPolicy": "Never",
                "serviceAccountName": f"{RELEASE}-jobrunner",
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 10001,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "tries",
                        "image": installation.cluster.images["jobrunner"],
                        "command": ["python", "-c", TRY, json.dumps(doors), json.dumps(wanted)],
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }
                ],
            },
        }
    )
    try:
        ended = "--for=jsonpath={.status.phase}=Succeeded"
        installation.kubectl("wait", f"pod/{name}", ended, "--timeout=100s", timeout_s=110)
        return json.loads(installation.kubectl("logs", name))
    finally:
        installation.kubectl("delete", "pod", name, "--wait=false")


def address(cluster: Cluster, *words: str) -> str:
    found = cluster.kubectl("get", *words)
    assert found
    return found


@pytest.fixture
def inside(installation: Installation) -> Doors:
    """Doors of the cluster that stand open for a pod without a policy."""
    cluster, namespace = installation.cluster, f"--namespace={installation.namespace}"
    operator = "--selector=app.kubernetes.io/component=operator"
    return {
        "API server, by its service": ("kubernetes.default.svc", 443),
        "kubelet": (
            address(cluster, "nodes", "-o=jsonpath={.items[0].status.addresses[0].address}"),
            10250,
        ),
        "operator": (
            address(cluster, "pods", namespace, operator, "-o=jsonpath={.items[0].status.podIP}"),
            8080,
        ),
        "API, by its service": (f"{RELEASE}-api", 80),
    }


def test_a_jobrunner_reaches_s3_and_nothing_of_the_cluster(installation: Installation, inside: Doors) -> None:
    s3 = installation.services.s3
    doors = inside | {"S3": (s3.host, s3.port)}
    all_open = dict.fromkeys(doors, True)
    assert tried(installation, {}, doors, wanted=all_open)["doors"] == all_open
    doors["metadata"] = METADATA
    only_s3 = dict.fromkeys(doors, False) | {"S3": True}
    found = tried(installation, JOBRUNNER, doors, wanted=only_s3)
    assert found == {"doors": only_s3, "token": False}


def test_nobody_calls_a_pod_of_a_jobrunner(installation: Installation) -> None:
    policy = installation.cluster.get(
        "networkpolicy", f"{RELEASE}-jobrunner", f"--namespace={installation.namespace}"
    )
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy["spec"]
