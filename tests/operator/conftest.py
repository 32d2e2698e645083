"""Builders for the operator's unit tests."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from imagebatch.batch.lifecycle import Phase
from imagebatch.custom_resource import ImageBatch
from imagebatch.records import Records, Request, connect
from imagebatch.settings import DatabaseSettings, as_env
from imagebatch.storage.s3 import S3Store
from imagebatch_operator.settings import OperatorSettings
from imagebatch_testing.control_plane import ControlPlane
from imagebatch_testing.kubectl import Kubectl, runner
from imagebatch_testing.local import environment
from imagebatch_testing.operated import Make, maker
from imagebatch_testing.servers import Servers
from imagebatch_testing.without_nodes import Objects, OperatorProcess

UID = "0b1e8a52-7c7e-4d6a-9f0e-1d2c3b4a5968"

MakeBatch = Callable[..., ImageBatch]


def a_body(
    spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **metadata: Any
) -> dict[str, Any]:
    return {
        "apiVersion": "imagebatch.dev/v1alpha1",
        "kind": "ImageBatch",
        "metadata": {
            "name": "spring-catalogue",
            "namespace": "shop",
            "uid": UID,
            "generation": 3,
            "resourceVersion": "17",
            "creationTimestamp": "2026-05-01T10:00:00Z",
            **metadata,
        },
        "spec": {"source": {"inline": "a,b\n"}, **(spec or {})},
        "status": status or {},
    }


@pytest.fixture
def a_batch() -> MakeBatch:
    def make(
        spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **metadata: Any
    ) -> ImageBatch:
        return ImageBatch(a_body(spec, status, **metadata))

    return make


def a_request(phase: Phase = Phase.RUNNING, **fields: Any) -> Request:
    """A row as an object's status is made from."""
    return replace(ImageBatch(a_body()).request(), phase=phase, **fields)


@pytest.fixture
def settings() -> OperatorSettings:
    return OperatorSettings(
        DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",  # type: ignore[call-arg]
        s3_bucket="imagebatch",
        s3_endpoint="http://s3.example:9000",
        s3_access_key="operators-own",
        s3_secret_key="operators-secret",  # type: ignore[arg-type]
        namespaces="shop, other",
        jobrunner_image="imagebatch-jobrunner:1",
        jobrunner_s3_secret="jobrunner-s3",
        jobrunner_service_account="imagebatch-jobrunner",
    )


@pytest.fixture(scope="session")
def operator_environment(servers: Servers) -> dict[str, str]:
    """The settings of an operator with a database of its own: it holds rows of objects that live on."""
    url = servers.database.database_url.get_secret_value()
    own = url.replace("/postgres?", "/operated?")
    assert own != url

    async def create() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE DATABASE operated")
        await connection.close()

    asyncio.run(create())
    return {**as_env(servers.s3), "DATABASE_URL": own, "IMAGEBATCH_ALLOWED_NETWORKS": "127.0.0.0/8"}


@pytest.fixture(scope="session")
def operator(
    plane: ControlPlane, operator_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """A running operator."""
    log = tmp_path_factory.mktemp("operator") / "log"
    with OperatorProcess(plane, operator_environment, log).running() as process:
        yield process


@pytest.fixture
async def objects(plane: ControlPlane) -> AsyncIterator[Objects]:
    async with plane.async_client() as client:
        yield Objects(client)


@pytest.fixture
async def operated_records(operator_environment: dict[str, str]) -> AsyncIterator[Records]:
    """The records of the operator."""
    settings = DatabaseSettings(DATABASE_URL=operator_environment["DATABASE_URL"])  # type: ignore[call-arg]
    async with connect(settings) as records:
        yield records


@pytest.fixture
def bucket(servers: Servers) -> Iterator[S3Store]:
    """The operator's S3, with what other tests left there."""
    store = S3Store(servers.s3)
    yield store
    store.close()


@pytest.fixture
def make(objects: Objects, bucket: S3Store) -> Make:
    """Creates batches on the API server that the operator watches."""
    return maker(objects, bucket)


@pytest.fixture
def kubeconfig_only(plane: ControlPlane) -> dict[str, str]:
    """The environment of one who has a kubeconfig, and nothing else."""
    return environment({"KUBECONFIG": str(plane.kubeconfig)})


@pytest.fixture
def kubectl(kubeconfig_only: dict[str, str], tmp_path: Path) -> Kubectl:
    """Runs `kubectl-imagebatch` to its end in the tests' namespace."""
    return runner(kubeconfig_only, tmp_path)
