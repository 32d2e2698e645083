"""A Kubernetes for these tests, the services beside it, and servers that its pods reach."""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from imagebatch_testing.cluster import choice, prerequisites
from imagebatch_testing.cluster.access import Cluster
from imagebatch_testing.cluster.errors import UnavailableError
from imagebatch_testing.cluster.services import Services, services
from imagebatch_testing.installation import RESTRICTED, Installation, installed_alone
from imagebatch_testing.shop import Shop, open_shop

TEST_S = 300


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bound the tests, not the start of the cluster: that has bounds of its own, and takes long once."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TEST_S, func_only=True))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster with our images; without one the test is skipped, in CI it fails."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(choice.cluster())
        except UnavailableError as error:
            give_up = pytest.fail if prerequisites.in_ci() else pytest.skip
            give_up(f"no cluster: {error}")
        yield running


@pytest.fixture(scope="session")
def cluster_services(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """An empty Postgres and an empty S3 that pods reach, for this run's cluster tests alone."""
    with services(tmp_path_factory.mktemp("services").resolve(), cluster.host_address) as started:
        yield started


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own, as strict about pods as Kubernetes can be."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    metadata = {"name": name, "labels": RESTRICTED}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    cluster.kubectl("wait", "--for=create", "serviceaccount/default", f"--namespace={name}", "--timeout=30s")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def shop(cluster: Cluster) -> Iterator[Shop]:
    """A shop with pictures for this test's batches, whose gate is open."""
    with open_shop(cluster.host_address) as opened:
        opened.gate.set()
        yield opened


@pytest.fixture(scope="session")
def installation(cluster: Cluster, cluster_services: Services) -> Iterator[Installation]:
    """ImageBatch, installed by its chart, for all tests of the session: they differ in their batches' names."""
    with installed_alone(cluster, cluster_services) as installation:
        yield installation
