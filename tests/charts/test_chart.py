"""The chart as a package: it renders, refuses with advice, and its values are known, described and used."""

import itertools
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagebatch_testing.chart import CHART, ROOT, VALUES_FILES, Helm, RefusedError, load, values_of

from .conftest import MINIMAL, QUICKSTART, Render

VERSION = values_of(CHART / "Chart.yaml")["appVersion"]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120, func_only=True)]


@pytest.mark.parametrize("name", VALUES_FILES)
def test_lint_finds_nothing(helm: Helm, name: str) -> None:
    assert "0 chart(s) failed" in helm.lint(VALUES_FILES[name])


def test_the_values_files_cover_the_ways_to_install() -> None:
    wanted = {
        "quickstart",
        "external",
        "watch-namespaces",
        "ingress",
        "httproute",
        "everything-on",
        "minimal",
    }
    assert wanted <= VALUES_FILES.keys()


@pytest.mark.parametrize("name", VALUES_FILES)
def test_rendering_twice_gives_the_same(helm: Helm, rendered: Render, name: str) -> None:
    """Argo CD renders all the time, and would see secrets made by chance as changes."""
    assert helm.render(VALUES_FILES[name]).text == rendered(name).text


def test_no_template_looks_up_or_makes_anything_by_chance() -> None:
    for path in CHART.glob("templates/*"):
        assert not re.search(r"\b(lookup|rand\w+|gen\w+|now|uuidv4)\b", path.read_text()), path.name


@pytest.mark.parametrize("name", VALUES_FILES)
def test_there_are_no_hooks(rendered: Render, name: str) -> None:
    assert "helm.sh/hook" not in rendered(name).text


@pytest.mark.parametrize("name", VALUES_FILES)
def test_no_object_is_rendered_twice(rendered: Render, name: str) -> None:
    names = [
        (found["kind"], found["metadata"].get("namespace"), found["metadata"]["name"])
        for found in rendered(name).objects
    ]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", VALUES_FILES)
def test_every_object_is_labelled_and_has_its_namespace(rendered: Render, name: str) -> None:
    for found in rendered(name).objects:
        metadata = found["metadata"]
        assert metadata["labels"]["app.kubernetes.io/instance"] == "imagebatch"
        assert ("namespace" in metadata) is (found["kind"] != "CustomResourceDefinition")


def test_the_version_is_that_of_the_programs() -> None:
    (chart,) = load((CHART / "Chart.yaml").read_text())
    for member in ("api", "operator", "jobrunner", "core"):
        text = (ROOT / member / "pyproject.toml").read_text()
        assert f'version = "{chart["appVersion"]}"' in text


# -- what is refused -------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing said": ({}, "There is no database"),
    "no S3": ({"database.existingSecret": "a"}, "There is no S3"),
    "two databases": (
        MINIMAL | {"bundled.postgres.enabled": True, "bundled.postgres.password": "long-enough"},
        "There are two databases",
    ),
    "two S3s": (MINIMAL | {"bundled.s3.enabled": True}, "There are two S3s"),
    "two ways into S3": (MINIMAL | {"s3.cloudIdentity": True}, "There are two ways into S3"),
    "bundled Postgres without password": (
        {"bundled.postgres.enabled": True, "s3.existingSecret": "s3"},
        "set bundled.postgres.password",
    ),
    "bundled S3 without keys": (
        {"bundled.s3.enabled": True, "database.existingSecret": "a"},
        "set bundled.s3.secretKey and bundled.s3.jobrunner.secretKey",
    ),
    "neither tokens nor everybody": (
        MINIMAL | {"api.tokens.existingSecret": ""},
        "if something in front of the API asks who is there, set api.allowAnonymous",
    ),
    "tokens and everybody": (
        MINIMAL | {"api.allowAnonymous": True},
        "can't ask for tokens and let everybody in",
    ),
    "Ingress without names": (MINIMAL | {"api.ingress.enabled": True}, "set api.ingress.hosts"),
    "HTTPRoute without Gateway": (MINIMAL | {"api.httpRoute.enabled": True}, "set api.httpRoute.parentRefs"),
    "a password that is no part of a URL": (
        {"bundled.postgres.enabled": True, "bundled.postgres.password": "pass@word/"},
        "/bundled/postgres/password",
    ),
    "a short password": ({"bundled.s3.secretKey": "short"}, "/bundled/s3/secretKey"),
    "a misspelt value": (MINIMAL | {"s3.bukcet": "shop"}, "'bukcet' not allowed"),
    "a misspelt part": (MINIMAL | {"operater.replicas": 2}, "'operater' not allowed"),
    "an unknown setting": (MINIMAL | {"api.settings.maxImages": 5}, "'maxImages' not allowed"),
    "a network that is no CIDR": (MINIMAL | {"allowedNetworks": ["10.0.0.1"]}, "/allowedNetworks/0"),
    "a number that is none": (MINIMAL | {"api.replicas": "many"}, "/api/replicas"),
}


@pytest.mark.parametrize(("values", "says"), REFUSED.values(), ids=REFUSED)
def test_wrong_values_are_refused_with_advice(helm: Helm, values: dict[str, Any], says: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(says)):
        helm.render(values=values)


def test_without_values_the_quickstart_is_named(helm: Helm) -> None:
    with pytest.raises(RefusedError, match=re.escape("--values values-quickstart.yaml")):
        helm.render()


# -- values ----------------------------------------------------------------------------------------------


def leaves(values: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in values.items():
        if isinstance(value, dict) and value and name not in {"resources", "global"}:
            yield from leaves(value, (*path, name))
        else:
            yield (*path, name), value


DEFAULTS = dict(leaves(values_of(CHART / "values.yaml")))


INSIDE = ("requests:", "limits:", "codecProcesses:")
"""What stands under the comment of its parent."""


def test_every_value_is_described_above_it() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    for above, line in itertools.pairwise(lines):
        if re.match(r"\s*[A-Za-z]+: \S", line) and not line.lstrip().startswith(INSIDE):
            assert above.lstrip().startswith("#"), line


def test_the_schema_knows_every_value() -> None:
    """helm lint shows that defaults are allowed; this, that the schema has no value that the chart has not."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    # Settings are not in values.yaml by themselves: unset, the program's own default holds.
    known = {path for path in schema_leaves(schema, schema) if "settings" not in path}
    parents = {path[:length] for path in DEFAULTS for length in range(1, len(path) + 1)}
    assert known - parents == {("enabled",)}


def schema_leaves(
    node: dict[str, Any], schema: dict[str, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    if "$ref" in node:
        node = schema["definitions"][node["$ref"].rpartition("/")[2]]
    if "properties" not in node:
        yield path
    for name, inner in node.get("properties", {}).items():
        yield from schema_leaves(inner, schema, (*path, name))


EXCLUSIVE = {
    ("database", "existingSecret"),
    ("database", "key"),
    ("s3", "region"),
    ("s3", "links"),
    ("s3", "addressing"),
    ("s3", "endpoint"),
    ("s3", "existingSecret"),
    ("s3", "cloudIdentity"),
    ("s3", "jobrunner", "existingSecret"),
    ("api", "allowAnonymous"),
}
"""What does not go together with the rest of everything-on.yaml; other values files have it."""


def test_the_checks_try_every_value_that_is_off_by_default() -> None:
    chosen = dict(leaves(values_of(VALUES_FILES["everything-on"])))
    off = {path for path, value in DEFAULTS.items() if value in (None, "", False) or value in ([], {})}
    tried = {path[:length] for path in chosen for length in range(1, len(path) + 1)}
    of_images = {path for path in off if path[-2:-1] == ("image",)}
    assert off - tried - EXCLUSIVE - of_images == set()


@pytest.mark.parametrize("setting", ["tag", "digest", "registry", "pullPolicy", "repository"])
def test_an_image_can_be_chosen_whole(helm: Helm, setting: str) -> None:
    given = {
        "tag": "1.2.3",
        "digest": f"sha256:{'a' * 64}",
        "registry": "registry.example",
        "pullPolicy": "Never",
        "repository": "team/api",
    }
    wanted = {
        "tag": "imagebatch-api:1.2.3",
        "digest": f"imagebatch-api@sha256:{'a' * 64}",
        "registry": f"registry.example/imagebatch-api:{VERSION}",
        "pullPolicy": f"imagebatch-api:{VERSION}",
        "repository": f"team/api:{VERSION}",
    }
    made = helm.render(values=MINIMAL | {f"api.image.{setting}": given[setting]})
    (container,) = made.one("Deployment", "imagebatch-api")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == wanted[setting]
    assert container["imagePullPolicy"] == ("Never" if setting == "pullPolicy" else "IfNotPresent")


def test_a_tag_of_digits_is_a_tag(helm: Helm) -> None:
    """A short commit id may have no letter, and --set takes it for a number."""
    made = helm.render(values=MINIMAL | {"operator.image.tag": 12345678})
    assert "image: imagebatch-operator:12345678\n" in made.text


def test_a_registry_for_all_charts_goes_before_the_own_one(helm: Helm) -> None:
    values = {"global.imageRegistry": "mirror.example", "image.registry": "own.example"}
    text = helm.render(QUICKSTART, values=values).text
    images = re.findall(r"image: (\S+)", text)
    assert len(images) == 4
    assert all(image.startswith("mirror.example/") for image in images)
    assert "mirror.example/imagebatch-jobrunner:" in text


def test_a_chart_can_depend_on_this_one(helm: Helm, tmp_path: Path) -> None:
    shutil.copytree(CHART, tmp_path / "charts" / "imagebatch", ignore=shutil.ignore_patterns("ci"))
    dependency = {"name": "imagebatch", "version": VERSION, "condition": "imagebatch.enabled"}
    parent = {"apiVersion": "v2", "name": "shop", "version": "1.0.0", "dependencies": [dependency]}
    (tmp_path / "Chart.yaml").write_text(json.dumps(parent))
    values = {
        "global": {"imageRegistry": "mirror.example", "storageClass": "fast", "team": {"name": "shop"}},
        "imagebatch": {
            "enabled": True,
            "database": {"existingSecret": "database"},
            "s3": {"existingSecret": "s3"},
            "api": {"tokens": {"existingSecret": "tokens"}},
        },
    }
    (tmp_path / "values.yaml").write_text(json.dumps(values))
    made = helm.render(chart=tmp_path)
    assert f"image: mirror.example/imagebatch-api:{VERSION}\n" in made.text
    assert not helm.render(chart=tmp_path, values={"imagebatch.enabled": False}).objects


# -- notes -----------------------------------------------------------------------------------------------

SHOW = """kind: Notes
text: {{ include (print .Template.BasePath "/NOTES.txt") . | toJson }}
"""


@pytest.fixture
def chart_with_notes(tmp_path: Path) -> Path:
    """A copy of the chart whose notes are among its manifests; helm prints them only when it installs."""
    copy = tmp_path / "imagebatch"
    shutil.copytree(CHART, copy, ignore=shutil.ignore_patterns("ci"))
    (copy / "templates" / "notes.yaml").write_text(SHOW)
    return copy


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("minimal", "http://localhost:8080"),
        ("quickstart", "http://localhost:8080"),
        ("ingress", "https://imagebatch.example"),
        ("httproute", "https://imagebatch.example"),
    ],
)
def test_the_notes_say_how_to_upload(helm: Helm, chart_with_notes: Path, name: str, url: str) -> None:
    (notes,) = helm.render(VALUES_FILES[name], chart=chart_with_notes).all("Notes")
    text = notes["text"]
    token = "" if name == "quickstart" else '-H "Authorization: Bearer $IMAGEBATCH_TOKEN" '
    assert f"curl {token}-F file=@products.csv {url}/upload\n" in text
    assert ("It asks nobody who he is" in text) is (name == "quickstart")
    assert ("port-forward service/imagebatch-api 8080:80\n" in text) is (name == "minimal")
    assert ("FOR TRYING OUT ONLY" in text) is (name == "quickstart")
    assert "delete imagebatches --all" in text
    assert "\n\n\n" not in text


def test_the_notes_name_every_namespace_to_clean(helm: Helm, chart_with_notes: Path) -> None:
    (notes,) = helm.render(VALUES_FILES["watch-namespaces"], chart=chart_with_notes).all("Notes")
    for namespace in ("shop", "team-a", "team-b"):
        assert f"kubectl --namespace {namespace} delete imagebatches --all\n" in notes["text"]
