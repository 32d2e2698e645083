"""The names in the manifests lead somewhere: services to pods, pods to secrets, routes to services."""

from collections.abc import Iterator

import pytest

from imagebatch_operator.names import JOBRUNNER_LABELS
from imagebatch_testing.chart import Helm

from .conftest import QUICKSTART, Render, every_values_file

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120, func_only=True)]


def references(node: object) -> Iterator[tuple[str, str]]:
    """The names and keys of the Secrets that a manifest needs."""
    if isinstance(node, dict):
        if "secretKeyRef" in node:
            yield node["secretKeyRef"]["name"], node["secretKeyRef"]["key"]
        if "secretName" in node:
            yield node["secretName"], "as a folder"
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def test_bundled_secrets_have_what_pods_ask_them_for(helm: Helm) -> None:
    made = helm.render(QUICKSTART)
    secrets = {found["metadata"]["name"]: found["stringData"].keys() for found in made.all("Secret")}
    for workload in made.workloads:
        for name, key in references(workload):
            assert key in {*secrets[name], "as a folder"}


def test_secrets_of_ones_own_are_asked_for_by_the_documented_keys(rendered: Render) -> None:
    made = rendered("external")
    assert set(references(made.workloads)) == {
        ("shop-postgres", "uri"),
        ("shop-s3", "accessKey"),
        ("shop-s3", "secretKey"),
        ("shop-webhooks", "secret"),
        ("shop-tokens", "as a folder"),
    }
    assert not made.all("Secret")


@every_values_file
def test_services_lead_to_pods(rendered: Render, name: str) -> None:
    made = rendered(name)
    templates = [found["spec"]["template"] for found in made.workloads]
    for service in made.all("Service"):
        (template,) = (
            found
            for found in templates
            if service["spec"]["selector"].items() <= found["metadata"]["labels"].items()
        )
        (container,) = template["spec"]["containers"]
        (port,) = service["spec"]["ports"]
        assert port["targetPort"] in {found["name"] for found in container["ports"]}


def test_the_ingress_and_the_route_lead_to_the_api(rendered: Render) -> None:
    (rule,) = rendered("ingress").one("Ingress", "imagebatch-api")["spec"]["rules"]
    assert rule["host"] == "imagebatch.example"
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": "imagebatch-api", "port": {"name": "http"}}
    route = rendered("httproute").one("HTTPRoute", "imagebatch-api")["spec"]
    assert route["hostnames"] == ["imagebatch.example"]
    assert route["rules"][0]["backendRefs"] == [{"name": "imagebatch-api", "port": 80}]


def test_prometheus_finds_both_services(rendered: Render) -> None:
    made = rendered("everything-on")
    (monitor,) = made.all("ServiceMonitor")
    selector = monitor["spec"]["selector"]
    (expression,) = selector["matchExpressions"]
    found = [
        service
        for service in made.all("Service")
        if selector["matchLabels"].items() <= service["metadata"]["labels"].items()
        and service["metadata"]["labels"][expression["key"]] in expression["values"]
    ]
    assert {service["metadata"]["name"] for service in found} == {"pictures-api", "pictures-operator"}
    (endpoint,) = monitor["spec"]["endpoints"]
    assert all(service["spec"]["ports"][0]["name"] == endpoint["port"] for service in found)
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_jobrunner_pods_are_those_that_the_policy_selects(rendered: Render) -> None:
    policy = rendered("minimal").one("NetworkPolicy", "imagebatch-jobrunner")
    assert policy["spec"]["podSelector"]["matchLabels"] == JOBRUNNER_LABELS
