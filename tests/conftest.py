"""Servers for the integration tests: one embedded Postgres and one embedded S3 for the whole run."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import asyncpg
import hypothesis
import pytest

from imagebatch import migrations
from imagebatch import records as records_module
from imagebatch.records import Records
from imagebatch.settings import DatabaseSettings
from imagebatch.storage import keys
from imagebatch.storage.s3 import S3Store
from imagebatch_cli.data_folder import DataFolder, free_ports
from imagebatch_cli.postgres import EmbeddedPostgres
from imagebatch_cli.seaweed import EmbeddedS3
from imagebatch_testing.chart import CHART, load
from imagebatch_testing.cluster import prerequisites
from imagebatch_testing.cluster.errors import UnavailableError
from imagebatch_testing.control_plane import ControlPlane, control_plane, prepare
from imagebatch_testing.findings import Finding, reporter
from imagebatch_testing.memory_store import MemoryStore
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.servers import Servers
from imagebatch_testing.without_nodes import NAMESPACE

hypothesis.settings.register_profile("imagebatch", deadline=None)  # how busy a machine is decides no test
hypothesis.settings.load_profile("imagebatch")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Postgres with our schema, and S3 with our bucket."""
    folder = DataFolder(tmp_path_factory.mktemp("servers").resolve())
    with folder.locked():
        postgres = EmbeddedPostgres(folder)
        s3 = EmbeddedS3(folder, folder.prepare())
        asyncio.run(_start(postgres, s3))
        try:
            S3Store(s3.settings).create_bucket()
            yield Servers(DatabaseSettings(DATABASE_URL=postgres.url), s3.settings)  # type: ignore[call-arg]
        finally:
            asyncio.run(_stop(postgres, s3))


async def _start(postgres: EmbeddedPostgres, s3: EmbeddedS3) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(postgres.start())
        group.create_task(s3.start())
    await migrations.upgrade(postgres.url)


async def _stop(postgres: EmbeddedPostgres, s3: EmbeddedS3) -> None:
    await s3.stop()
    await postgres.service.stop()


@pytest.fixture
def s3_store(servers: Servers) -> Iterator[S3Store]:
    """The real S3, empty but for its id, which programs of the whole run know. Other tests kill programs in the
    middle of what they store there.
    """
    store = S3Store(servers.s3)
    store.delete([stored.key for stored in store.list("") if stored.key != keys.STORE_ID])
    for upload in list(store.unfinished("")):
        store.end(upload)
    yield store
    store.close()


@pytest.fixture
async def records(servers: Servers) -> AsyncIterator[Records]:
    """The real Postgres, with no rows."""
    url = servers.database.database_url.get_secret_value()
    connection = await asyncpg.connect(url)
    await connection.execute("TRUNCATE processing_requests, webhook_deliveries")
    await connection.close()
    async with records_module.connect(servers.database) as connected:
        yield connected


@pytest.fixture
def database_url(servers: Servers) -> str:
    return servers.database.database_url.get_secret_value()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as server:
        yield server


@pytest.fixture
def finding(request: pytest.FixtureRequest) -> Finding:
    """Notes what was done to a program and what that cost, for docs/reliability.md."""
    return reporter(str(request.function.__name__))


@pytest.fixture
def unused_port() -> int:
    """A loopback port on which nothing listens."""
    return free_ports(1)[0]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """An API server without nodes that knows our resource; without one the test is skipped, in CI it fails."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(control_plane(tmp_path_factory.mktemp("plane")))
        except UnavailableError as error:
            give_up = pytest.fail if prerequisites.in_ci() else pytest.skip
            give_up(f"no API server: {error}")
        (crd,) = load((CHART / "files" / "crd.yaml").read_text())
        prepare(running, crd, NAMESPACE)
        yield running
