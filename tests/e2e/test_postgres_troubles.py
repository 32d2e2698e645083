"""Postgres misbehaves for a while: the batch waits, says so as far as anybody can, and then ends right.

Shards know nothing of Postgres: each link is downloaded once, whatever Postgres does meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest

from imagebatch import settings
from imagebatch_cli.data_folder import DataFolder
from imagebatch_cli.postgres import EmbeddedPostgres
from imagebatch_testing.findings import Finding
from imagebatch_testing.gate import Gate
from imagebatch_testing.local import Up, csv_of
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.servers import Servers
from imagebatch_testing.small_disk import small_disk
from imagebatch_testing.waiting import until
from imagebatch_testing.web import Web, serving

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

IMAGES = 40
STORED = 12
"""Images that are stored before the trouble begins."""

DISK_MIB = 128
SLOW_S = 60.0
ROLE = "shop"


@dataclass
class OwnPostgres:
    """A Postgres that is not started by `imagebatch up`, with a role and a database for it."""

    server: EmbeddedPostgres

    @property
    def url(self) -> str:
        return self.server.url.replace("imagebatch@/postgres", f"{ROLE}@/{ROLE}")

    async def tell(self, *statements: str) -> None:
        """Run statements as the administrator, who may always connect and write."""
        connection = await asyncpg.connect(self.server.url)
        try:
            await connection.execute("SET default_transaction_read_only = off")
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def cut(self) -> None:
        await self.tell(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'")


@dataclass
class Troubled:
    """A system on its own Postgres, with a batch of which the first images are stored."""

    up: Up
    postgres: OwnPostgres
    shop: Web
    gate: Gate
    receiver: Receiver
    request_id: str
    finding: Finding
    what: str

    async def go_on(self) -> None:
        """Let the shop serve the other images, and all be downloaded."""
        await self.gate.open(IMAGES)
        await until(lambda: self.shop.requests.total() == IMAGES, SLOW_S)

    async def until_not_ready(self) -> None:
        async def is_said() -> bool:
            ready = await self.up.http.get("/readyz")
            status = await self.up.http.get(f"/status/{self.request_id}")
            codes = [each["code"] for each in status.json().get("errors", [])]
            return "postgres" in ready.text and ready.status_code == 503 and "records_unavailable" in codes

        await until(is_said, SLOW_S)

    async def ends_right(self) -> None:
        """With all images, each downloaded once, and one webhook."""

        async def has_ended() -> bool:
            with suppress(httpx.HTTPError, KeyError):
                return bool((await self.up.status(self.request_id))["status"] != "pending")
            return False

        await until(has_ended, SLOW_S)
        status = await self.up.status(self.request_id)
        assert (status["status"], status["images"]["succeeded"]) == ("complete", IMAGES), status
        assert (status["reason"], status["waiting"]) == (None, None)
        async with asyncio.timeout(SLOW_S):
            await self.receiver.until_requests(1)
        assert len({request.headers["webhook-id"] for request in self.receiver.requests}) == 1
        assert self.shop.requests.total() == IMAGES
        lost, again = IMAGES - status["images"]["succeeded"], self.shop.requests.total() - IMAGES
        self.finding(f"Postgres: {self.what}", times=1, links=IMAGES, lost=lost, again=again)


TOLD = {
    "test_it_is_started_again": "stopped, and started again",
    "test_all_connections_are_cut_again_and_again": "all connections cut, twenty times in a row",
    "test_it_is_read_only_for_a_while": "read-only for a while",
    "test_it_has_no_connections_left[0]": "no connection left for a while",
    "test_it_has_no_connections_left[1]": "one connection left for a while",
    "test_its_disk_is_full": "its disk full, then started again",
}


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnPostgres]:
    folder = tmp_path_factory.mktemp("own").resolve()
    with small_disk(folder, DISK_MIB):
        folder.chmod(0o711)
        own = OwnPostgres(EmbeddedPostgres(DataFolder(folder)))
        asyncio.run(own.server.start())
        asyncio.run(own.tell(f"CREATE ROLE {ROLE} LOGIN", f"CREATE DATABASE {ROLE} OWNER {ROLE}"))
        yield own
        asyncio.run(own.server.service.stop())


@pytest.fixture
async def shop() -> AsyncIterator[tuple[Web, Gate]]:
    gate = Gate()
    async with serving({f"/{number}.jpg": gate.page(number) for number in range(IMAGES)}) as web:
        yield web, gate


@pytest.fixture
async def troubled(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    servers: Servers,
    postgres: OwnPostgres,
    shop: tuple[Web, Gate],
    receiver: Receiver,
    finding: Finding,
) -> AsyncIterator[Troubled]:
    web, gate = shop
    env = {
        **settings.as_env(servers.s3),
        "DATABASE_URL": postgres.url,
        "IMAGEBATCH_ALLOWED_NETWORKS": f"127.0.0.1/32:{web.port},127.0.0.1/32:{receiver.port}",
    }
    async with Up(tmp_path / "data", **env) as up:
        await gate.open(STORED)
        content = csv_of([[web.url(f"/{number}.jpg")] for number in range(IMAGES)])
        accepted = await up.upload(content, webhook_url=receiver.url("/hook"))
        await up.until_done(accepted["request_id"], STORED)
        what = TOLD[request.node.name]
        yield Troubled(up, postgres, web, gate, receiver, accepted["request_id"], finding, what)


async def test_it_is_started_again(troubled: Troubled) -> None:
    await troubled.postgres.server.service.stop()
    await troubled.go_on()
    await troubled.until_not_ready()
    await troubled.postgres.server.start()
    await troubled.ends_right()


async def test_all_connections_are_cut_again_and_again(troubled: Troubled) -> None:
    await troubled.gate.open(IMAGES)
    for _ in range(20):
        await troubled.postgres.cut()
        await asyncio.sleep(0.05)
    await troubled.ends_right()


async def test_it_is_read_only_for_a_while(troubled: Troubled) -> None:
    say = "ALTER SYSTEM SET default_transaction_read_only = {}"
    await troubled.postgres.tell(say.format("on"), "SELECT pg_reload_conf()")
    await troubled.go_on()

    async def says_so() -> bool:
        told = await troubled.up.status(troubled.request_id)
        return told["reason"] == "DatabaseUnavailable" and "read-only" in told["waiting"]

    await until(says_so, SLOW_S)
    refused = await troubled.up.http.post("/upload", files={"file": ("a.csv", csv_of([["http://a/1"]]))})
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (503, "not_accepted")
    await troubled.postgres.tell(say.format("off"), "SELECT pg_reload_conf()")
    await troubled.ends_right()


@pytest.mark.parametrize("most", [0, 1])
async def test_it_has_no_connections_left(troubled: Troubled, most: int) -> None:
    """The role may open none, or one, of which several users in the program want each their own."""
    await troubled.postgres.tell(f"ALTER ROLE {ROLE} CONNECTION LIMIT {most}")
    await troubled.postgres.cut()
    await troubled.go_on()
    if most == 0:
        await troubled.until_not_ready()
    await troubled.postgres.tell(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")
    await troubled.ends_right()


async def test_its_disk_is_full(troubled: Troubled) -> None:
    """It stops itself, as it does when it can't go on with its journal, and comes back when there is room."""
    disk = troubled.postgres.server.service.disk
    ballast = disk.folder / "ballast"
    with ballast.open("wb") as file, suppress(OSError):
        while file.write(b"0" * (1 << 20)):
            file.flush()
    with suppress(asyncpg.PostgresError, OSError):
        for _ in range(3):  # journals that are there are used first
            await troubled.postgres.tell("CREATE TABLE IF NOT EXISTS t (x text)", "SELECT pg_switch_wal()")
            await troubled.postgres.tell("INSERT INTO t SELECT repeat('x', 999) FROM generate_series(1, 999)")
    await troubled.go_on()
    ballast.unlink()
    await troubled.postgres.server.service.stop()
    await troubled.postgres.server.start()
    await troubled.ends_right()
