"""What the chart renders, before a real API server and before kubeconform.

The API server knows every field, and its admission every rule of the restricted Pod Security Standard.
kubeconform fetches its schemas from the internet by default; here they are made from what this API server
says of itself (/openapi/v2), strictly, with small ones of our own for the two kinds of other projects.
"""

import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagebatch_testing.chart import VALUES_FILES, Helm, Manifests
from imagebatch_testing.cluster import programs
from imagebatch_testing.cluster.access import Cluster

pytestmark = pytest.mark.cluster

OF_OTHERS = {"HTTPRoute", "PrometheusRule", "ServiceMonitor"}
"""Kinds that a cluster may have, and a bare API server has not."""

OWN_SCHEMAS = Path(__file__).parent / "schemas"
DEFINITIONS = "#/definitions/"
PSS = "pod-security.kubernetes.io"
TEAMS = ("team-a", "team-b")
every_values_file = pytest.mark.parametrize("name", VALUES_FILES)

Json = dict[str, Any]


@pytest.fixture(scope="module")
def helm(cluster: Cluster) -> Helm:
    return Helm(cluster.helm)


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace that warns of every pod template that it would refuse; and those that values files watch."""
    name = f"chart-{secrets.token_hex(4)}"
    labels = {f"{PSS}/enforce": "restricted", f"{PSS}/warn": "restricted"}
    made = [f"{name}{suffix}" for suffix in ("", *(f"-{team}" for team in TEAMS))]
    for one in made:
        metadata = {"name": one, "labels": labels}
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    yield name
    cluster.kubectl("delete", "namespace", *made, "--wait=false")


def rendered(helm: Helm, name: str, namespace: str) -> Manifests:
    """A values file, with its watched namespaces renamed to ones that are there."""
    text = helm.render(VALUES_FILES[name], namespace=namespace).text
    for team in TEAMS:
        text = text.replace(f"namespace: {team}\n", f"namespace: {namespace}-{team}\n")
    return Manifests(text)


@every_values_file
def test_the_api_server_takes_every_object(cluster: Cluster, helm: Helm, namespace: str, name: str) -> None:
    known = [found for found in rendered(helm, name, namespace).objects if found["kind"] not in OF_OTHERS]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": known})
    answer = cluster.try_kubectl(
        "apply", "--filename=-", "--dry-run=server", "--validate=strict", input=listed
    )
    assert answer.returncode == 0, answer.stderr
    assert len(answer.stdout.splitlines()) == len(known)
    assert "PodSecurity" not in answer.stderr


def test_admission_would_tell_of_a_pod_that_is_not_restricted(
    cluster: Cluster, helm: Helm, namespace: str
) -> None:
    made = rendered(helm, "minimal", namespace)
    (operator,) = (found for found in made.workloads if found["metadata"]["name"] == "imagebatch-operator")
    operator["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] = False
    answer = cluster.try_kubectl("apply", "-f-", "--dry-run=server", input=json.dumps(operator))
    assert "would violate PodSecurity" in answer.stderr


@pytest.fixture(scope="module")
def schemas(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of JSON schemas, one a kind, as kubeconform looks for them."""
    folder = tmp_path_factory.mktemp("schemas")
    definitions = json.loads(cluster.kubectl("get", "--raw", "/openapi/v2"))["definitions"]
    for own_name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            schema = json.dumps(standalone(own_name, definitions))
            (folder / file_name(kind)).write_text(schema)
    for path in OWN_SCHEMAS.glob("*.json"):
        (folder / path.name).write_text(path.read_text())
    return folder


LOCATION = "{{ .ResourceKind }}_{{ .Group }}_{{ .ResourceAPIVersion }}.json"
"""kubeconform writes kinds small, and calls the core's group by its version."""


def file_name(kind: Json) -> str:
    return f"{kind['kind'].lower()}_{kind['group'] or kind['version']}_{kind['version']}.json"


def standalone(name: str, definitions: Json) -> Json:
    """A definition with all that it refers to, and nothing allowed that it does not name."""
    needed, open_names = {}, [name]
    while open_names:
        one = open_names.pop()
        if one not in needed:
            needed[one] = strict(definitions[one])
            open_names += references(definitions[one])
    return {"$ref": f"{DEFINITIONS}{name}", "definitions": needed}


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].removeprefix(DEFINITIONS)
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def strict(schema: Json) -> Json:
    """The schema without room for unknown fields, and without the formats that only Kubernetes knows."""
    if schema.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    made = {name: inner for name, inner in schema.items() if name != "format"}
    for name in {"items", "additionalProperties"} & schema.keys():
        made[name] = strict(schema[name])
    if "properties" in schema:
        made["properties"] = {name: strict(inner) for name, inner in schema["properties"].items()}
        made.setdefault("additionalProperties", False)
    return made


def conform(schemas: Path, manifests: str) -> Json:
    """What kubeconform found."""
    options = ["-strict", "-summary", "-output=json", f"-schema-location={schemas}/{LOCATION}"]
    ended = subprocess.run(
        [programs.found("kubeconform"), *options, "-"],
        input=manifests,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    found: Json = json.loads(ended.stdout)
    return found


@every_values_file
def test_kubeconform_finds_nothing(helm: Helm, schemas: Path, name: str) -> None:
    made = rendered(helm, name, "shop")
    found = conform(schemas, made.text)
    assert found.get("resources", []) == []
    assert found["summary"] == {"valid": len(made.objects), "invalid": 0, "errors": 0, "skipped": 0}


MISTAKES = {
    "a misspelt field": ("readOnlyRootFilesystem:", "readOnlyRootFileSystem:"),
    "a text in place of a number": ("replicas: 2", "replicas: two"),
    "a kind that nobody knows": ("kind: PodDisruptionBudget", "kind: PodDisruptionBudgets"),
    "a misspelt field of another project": ("backendRefs:", "backendRef:"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_kubeconform_would_find_a_mistake(helm: Helm, schemas: Path, mistake: tuple[str, str]) -> None:
    text = rendered(helm, "httproute", "shop").text
    assert mistake[0] in text
    found = conform(schemas, text.replace(*mistake))
    assert found["summary"]["invalid"] + found["summary"]["errors"] > 0
