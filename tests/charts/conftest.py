"""Helm, and what it makes of the chart."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from imagebatch_testing import needed
from imagebatch_testing.chart import CHART, VALUES_FILES, Helm, Manifests

Render = Callable[[str], Manifests]

MINIMAL = {
    "database.existingSecret": "database",
    "s3.existingSecret": "s3",
    "api.tokens.existingSecret": "tokens",
}
QUICKSTART = CHART / "values-quickstart.yaml"
every_values_file = pytest.mark.parametrize("name", VALUES_FILES)


@pytest.fixture(scope="session")
def kind() -> Path:
    return needed.program("kind")


@pytest.fixture(scope="session")
def helm() -> Helm:
    return Helm(needed.program("helm"))


@pytest.fixture(scope="session")
def rendered(helm: Helm) -> Render:
    """Renders by the name of a file in charts/imagebatch/ci, each once."""
    return cache(lambda name: helm.render(VALUES_FILES[name]))


def deployments(manifests: Manifests) -> tuple[str, str]:
    """The names of the API's and the operator's."""
    api, operator = sorted(found["metadata"]["name"] for found in manifests.all("Deployment"))
    return api, operator


def environment(manifests: Manifests, deployment: str) -> dict[str, Any]:
    """The variables of a deployment's container: texts, or where they come from."""
    (container,) = manifests.one("Deployment", deployment)["spec"]["template"]["spec"]["containers"]
    entries = container["env"]
    assert len({entry["name"] for entry in entries}) == len(entries), "a variable is set twice"
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in entries}
