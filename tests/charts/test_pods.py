"""The pods of the chart: no rights that they do not need, and placed as they are told."""

from typing import Any

import pytest

from imagebatch_testing.chart import VALUES_FILES, Helm, Json, values_of

from .conftest import QUICKSTART, Render, every_values_file

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120, func_only=True)]

VOLUMES = {"configMap", "emptyDir", "secret", "persistentVolumeClaim", "projected", "downwardAPI"}


def containers(pod: Json) -> list[Json]:
    return [*pod["containers"], *pod.get("initContainers", [])]


@every_values_file
def test_every_pod_meets_the_restricted_standard(rendered: Render, name: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/ and a read-only file system."""
    assert rendered(name).workloads
    for workload in rendered(name).workloads:
        pod = workload["spec"]["template"]["spec"]
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "hostUsers"}
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert all(volume.keys() - {"name"} <= VOLUMES for volume in pod["volumes"])
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert all("hostPort" not in port for port in container["ports"])
            assert "memory" in container["resources"]["limits"]


@every_values_file
def test_no_pod_gets_variables_from_services(rendered: Render, name: str) -> None:
    """A Service imagebatch-api would set IMAGEBATCH_API_PORT to tcp://..."""
    for workload in rendered(name).workloads:
        assert workload["spec"]["template"]["spec"]["enableServiceLinks"] is False


@every_values_file
def test_only_the_api_and_the_operator_have_a_token(rendered: Render, name: str) -> None:
    for workload in rendered(name).workloads:
        has_token = workload["spec"]["template"]["spec"]["automountServiceAccountToken"]
        assert has_token is (workload["kind"] == "Deployment")
    assert all(
        found["automountServiceAccountToken"] is False for found in rendered(name).all("ServiceAccount")
    )


@every_values_file
def test_volumes_are_mounted_and_ports_are_named(rendered: Render, name: str) -> None:
    for workload in rendered(name).workloads:
        pod = workload["spec"]["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
        for container in containers(pod):
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes | claims
            ports = {port["name"] for port in container["ports"]}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert container[probe].get("httpGet", {"port": min(ports)})["port"] in ports


def test_there_is_one_operator_at_a_time(rendered: Render) -> None:
    spec = rendered("everything-on").one("Deployment", "pictures-operator")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    budgets = rendered("everything-on").all("PodDisruptionBudget")
    assert [found["metadata"]["name"] for found in budgets] == ["pictures-api"]


@pytest.mark.parametrize("part", ["api", "operator", "bundled.postgres", "bundled.s3"])
def test_a_pod_can_be_placed_and_marked(rendered: Render, part: str) -> None:
    made = rendered("everything-on")
    values: Any = values_of(VALUES_FILES["everything-on"])
    for step in part.split("."):
        values = values[step]
    (workload,) = (
        found
        for found in made.workloads
        if found["metadata"]["name"] == f"pictures-{part.rsplit('.', maxsplit=1)[-1]}"
    )
    template = workload["spec"]["template"]
    placed = ["priorityClassName", "nodeSelector", "tolerations", "affinity"]
    placed += ["topologySpreadConstraints"] if "topologySpreadConstraints" in values else []
    for field in placed:
        assert template["spec"][field] == values[field]
    assert template["spec"]["imagePullSecrets"] == [{"name": "mirror"}, {"name": "own"}]
    assert template["metadata"]["labels"].items() >= values["podLabels"].items()
    assert template["metadata"]["labels"]["example.com/team"] == "shop"
    assert template["metadata"]["annotations"].items() >= values["podAnnotations"].items()
    assert all(entry in containers(template["spec"])[0]["env"] for entry in values["extraEnv"])


def test_replicas_of_the_api_are_spread_over_nodes(rendered: Render) -> None:
    deployment = rendered("minimal").one("Deployment", "imagebatch-api")["spec"]
    (spread,) = deployment["template"]["spec"]["topologySpreadConstraints"]
    assert deployment["replicas"] == 2
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert (
        spread["labelSelector"]["matchLabels"].items() <= deployment["template"]["metadata"]["labels"].items()
    )


def test_pods_are_replaced_when_a_bundled_password_changes(helm: Helm) -> None:
    changed = helm.render(QUICKSTART, values={"bundled.s3.secretKey": "another-password"})
    for before, after in zip(helm.render(QUICKSTART).workloads, changed.workloads, strict=True):
        assert before["spec"]["template"] != after["spec"]["template"], before["metadata"]["name"]
