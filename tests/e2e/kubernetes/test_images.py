"""The three images as a strict cluster runs them: each has its own member, and nothing that it does not need."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from imagebatch_testing.cluster.access import Cluster

pytestmark = pytest.mark.cluster

MEMBERS = ("api", "operator", "jobrunner")
FOREIGN = {
    "api": ("imagebatch_operator", "imagebatch_jobrunner", "imagebatch_cli", "kopf", "PIL"),
    "operator": ("imagebatch_api", "imagebatch_jobrunner", "imagebatch_cli", "starlette", "PIL"),
    "jobrunner": ("imagebatch_api", "imagebatch_operator", "imagebatch_cli", "starlette", "kopf"),
}
LOOK = """
import importlib, importlib.util, json, os, pathlib, shutil, sys

def refuses(folder):
    try:
        pathlib.Path(folder, "probe").write_text("x")
    except OSError as error:
        return error.strerror
    return ""

member = importlib.import_module(sys.argv[1])
packages = pathlib.Path(member.__file__).parents[1]
sources = [path for path in packages.rglob("*.py") if path.stat().st_size]
print(json.dumps({
    "user": os.getuid(),
    "place": str(packages),
    "found": [name for name in sys.argv[2:] if importlib.util.find_spec(name)],
    "uncompiled": [str(path) for path in sources if not os.path.exists(importlib.util.cache_from_source(path))],
    "refused": {folder: refuses(folder) for folder in ("/", "/tmp", "/opt/imagebatch", str(packages))},
    "programs": [name for name in ("pip", "gcc", "make") if shutil.which(name, path="/opt/imagebatch/bin")],
    "unbuffered": os.environ.get("PYTHONUNBUFFERED"),
    "where": member.__spec__.loader.get_code(sys.argv[1]).co_filename,
}))
"""


@dataclass(frozen=True)
class Looked:
    """What a pod of an image's program found out about itself."""

    member: str
    seen: dict[str, Any]


@pytest.fixture(params=MEMBERS)
def looked(cluster: Cluster, namespace: str, request: pytest.FixtureRequest) -> Looked:
    member = request.param
    names = [f"imagebatch_{member}", *FOREIGN[member], "pip", "hatchling"]
    cluster.apply(strict_pod(namespace, cluster.images[member], ["python", "-c", LOOK, *names]))
    ended = "--for=jsonpath={.status.containerStatuses[0].state.terminated.finishedAt}"
    cluster.kubectl("wait", ended, "pod/look", f"--namespace={namespace}", "--timeout=60s", timeout_s=90)
    return Looked(member, json.loads(cluster.kubectl("logs", "look", f"--namespace={namespace}")))


def strict_pod(namespace: str, image: str, command: list[str]) -> dict[str, Any]:
    container = {
        "name": "look",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "securityContext": {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "look", "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        },
    }


def test_an_image_has_what_its_program_needs_and_no_more(looked: Looked) -> None:
    seen = looked.seen
    assert seen["found"] == []
    assert seen["programs"] == []
    assert seen["user"] == 10001
    assert seen["unbuffered"] == "1"
    assert seen["uncompiled"] == []
    assert seen["where"].startswith("/opt/imagebatch/lib/python3.")


def test_a_program_can_write_nowhere_but_where_it_is_given_room(looked: Looked) -> None:
    assert set(looked.seen["refused"].values()) == {"Read-only file system"}
