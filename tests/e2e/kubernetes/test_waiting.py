"""What a batch says when it can't go on, and that it goes on by itself once it can."""

import pytest

from imagebatch_testing.installation import Installation, until
from imagebatch_testing.local import csv_of
from imagebatch_testing.shop import Shop

pytestmark = pytest.mark.cluster


def a_source(shop: Shop) -> dict[str, str]:
    return {"inline": csv_of([[shop.url("/p/1.jpg")], [shop.url("/p/2.jpg")]]).decode()}


def test_a_quota_is_told_and_waited_for(installation: Installation, shop: Shop) -> None:
    metadata = {"name": "no-jobrunners", "namespace": installation.namespace}
    used = len(installation.cluster.get("pods", f"--namespace={installation.namespace}")["items"])
    installation.cluster.apply(
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": metadata,
            "spec": {"hard": {"pods": f"{min(used, 2)}"}},
        }
    )
    try:
        installation.apply("over-quota", a_source(shop))
        assert "exceeded quota" in installation.until_waits("over-quota", "PodsNotCreated")
    finally:
        installation.kubectl("delete", "resourcequota", "no-jobrunners")
    installation.until_phase("over-quota", "Complete")


def test_a_missing_secret_is_named_and_waited_for(installation: Installation, shop: Shop) -> None:
    found = installation.cluster.get("secret", "jobrunner-s3", f"--namespace={installation.namespace}")
    installation.kubectl("delete", "secret", "jobrunner-s3")
    try:
        installation.apply("without-secret", a_source(shop))
        assert "jobrunner-s3" in installation.until_waits("without-secret", "PodNotStarted")
    finally:
        metadata = {"name": "jobrunner-s3", "namespace": installation.namespace}
        installation.cluster.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": found["data"]}
        )
    installation.until_phase("without-secret", "Complete")


def test_a_node_without_room_is_told(installation: Installation, shop: Shop) -> None:
    nodes = [node["metadata"]["name"] for node in installation.cluster.get("nodes")["items"]]
    for node in nodes:
        installation.cluster.kubectl("cordon", node)
    try:
        installation.apply("homeless", a_source(shop))
        assert "unschedulable" in installation.until_waits("homeless", "Unschedulable")
    finally:
        for node in nodes:
            installation.cluster.kubectl("uncordon", node)
    installation.until_phase("homeless", "Complete")


def test_the_metrics_count_what_ended(installation: Installation, shop: Shop) -> None:
    installation.apply("counted", a_source(shop))
    installation.until_phase("counted", "Complete")

    def look() -> bool:
        path = f"/api/v1/namespaces/{installation.namespace}/services/imagebatch-operator:http/proxy/metrics"
        return 'imagebatch_batches_ended_total{phase="Complete"}' in installation.cluster.kubectl(
            "get", "--raw", path
        )

    until(look, "the end to be counted")
