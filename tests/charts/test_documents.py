"""The documents of the chart are current, and name what there is."""

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from imagebatch.storage.s3_access import read_policy
from imagebatch_testing.chart import CHART, ROOT, Json, load, values_of

GUIDE = ROOT / "docs" / "kubernetes.md"
PAGES = [GUIDE, CHART / "README.md", ROOT / "charts" / "README.md"]


def crd_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "make_crd_reference", ROOT / "docs" / "make_crd_reference.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_of_the_resource_is_current() -> None:
    for name, page in crd_reference().PAGES.items():
        assert (ROOT / "docs" / name).read_text() == page(), "run: python docs/make_crd_reference.py"


def test_the_reference_has_every_field() -> None:
    page = (ROOT / "docs" / "imagebatch.md").read_text()
    for field in ("source.configMap.key", "webhook.secretRef.name", "conditions[].reason", "bytes.in"):
        assert f"| `{field}` |" in page


PARTS = set(values_of(CHART / "values.yaml"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_values_that_a_page_names_are_there(path: Path) -> None:
    values = values_of(CHART / "values.yaml")
    schema = json.loads((CHART / "values.schema.json").read_text())
    named = {
        name
        for name in re.findall(r"`([a-z][A-Za-z0-9]*(?:\.[A-Za-z0-9]+)+)[`=:]", path.read_text())
        if name.partition(".")[0] in PARTS
    }
    assert len(named) > 25 or path != GUIDE
    for name in named:
        assert has(values, name.split(".")) or ".settings." in name, name
        if ".settings." in name:
            part, _, setting = name.split(".")
            assert setting in schema["properties"][part]["properties"]["settings"]["properties"], name


def has(values: Json, path: list[str]) -> bool:
    here: object = values
    for step in path:
        if not isinstance(here, dict) or step not in here:
            return False
        here = here[step]
    return True


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.parent.name)
def test_links_of_the_charts_pages_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


def blocks(language: str) -> list[str]:
    return [
        re.sub(r"^   ", "", found, flags=re.MULTILINE) if found.startswith("   ") else found
        for found in re.findall(rf"```{language}\n(.+?)\n *```", GUIDE.read_text(), re.DOTALL)
    ]


def test_the_bucket_policy_of_the_guide_is_the_one_that_the_api_sets() -> None:
    policies = [json.loads(block) for block in blocks("json")]
    assert len(policies) == 3
    assert policies[0] == read_policy("shop-images")


def test_a_role_of_the_guide_is_for_the_resource() -> None:
    documents = [document for block in blocks("yaml") for document in load(block)]
    (role,) = (document for document in documents if document.get("kind") == "Role")
    assert role["rules"][0]["resources"] == ["imagebatches"]
