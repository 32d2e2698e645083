"""The ImageBatch resource as a document; tests/e2e/kubernetes/test_crd.py tries it on an API server."""

from collections.abc import Iterator

import pytest

from imagebatch_testing.chart import CHART, Helm, Json, load

from .conftest import MINIMAL, Render

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120, func_only=True)]


def test_the_resource_is_the_one_in_the_file_and_stays(rendered: Render) -> None:
    (crd,) = rendered("minimal").all("CustomResourceDefinition")
    (wanted,) = load((CHART / "files" / "crd.yaml").read_text())
    assert crd["spec"] == wanted["spec"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert not (CHART / "crds").exists(), "helm never upgrades what is there"


def test_the_resource_can_go_with_the_release_or_be_left_out(helm: Helm, rendered: Render) -> None:
    (crd,) = rendered("everything-on").all("CustomResourceDefinition")
    assert "annotations" not in crd["metadata"]
    without = helm.render(values=MINIMAL | {"crds.install": False})
    assert not without.all("CustomResourceDefinition")


def schemas(node: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    yield path, node
    for name, inner in node.get("properties", {}).items():
        yield from schemas(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in node:
            yield from schemas(node[key], f"{path}[]")


def resource() -> list[tuple[str, Json]]:
    (crd,) = load((CHART / "files" / "crd.yaml").read_text())
    (version,) = crd["spec"]["versions"]
    return list(schemas(version["schema"]["openAPIV3Schema"]))


def test_every_field_of_the_resource_is_described_and_bounded() -> None:
    for path, schema in resource():
        if path == ".metadata":  # the API server allows nothing more than its type
            continue
        assert schema["description"].endswith("."), path
        assert "x-kubernetes-preserve-unknown-fields" not in schema
        if schema.get("type") == "string" and "enum" not in schema and path not in {".apiVersion", ".kind"}:
            assert "maxLength" in schema, path
        if schema.get("type") == "array":
            assert "maxItems" in schema, path
        if schema.get("type") == "integer":
            assert "minimum" in schema, path


def test_the_resource_has_no_defaults() -> None:
    """Defaults have one home, the core; in stored objects they would outlive their change."""
    assert not [path for path, schema in resource() if "default" in schema]


def test_every_rule_says_what_to_do() -> None:
    rules = [rule for _, schema in resource() for rule in schema.get("x-kubernetes-validations", [])]
    assert len(rules) > 15
    assert all(len(rule["message"]) > 30 for rule in rules)
