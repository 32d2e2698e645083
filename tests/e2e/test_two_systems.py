"""Two systems on one database: each drives its own batches, and neither spoils the other's."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from imagebatch import settings
from imagebatch_testing.gate import Gate
from imagebatch_testing.local import Up, csv_of
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.servers import Servers
from imagebatch_testing.waiting import until
from imagebatch_testing.web import Web, serving

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

IMAGES = 12


@pytest.fixture
async def shared(database_url: str) -> AsyncIterator[str]:
    """The URL of a database of its own."""
    name = f"shared_{uuid.uuid4().hex}"
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"CREATE DATABASE {name}")
    try:
        base, _, query = database_url.partition("?")
        yield f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


@pytest.fixture
async def gate() -> Gate:
    gate = Gate()
    await gate.open(IMAGES)
    return gate


@pytest.fixture
async def shop(gate: Gate) -> AsyncIterator[Web]:
    async with serving({f"/{number}.jpg": gate.page(number) for number in range(IMAGES)}) as web:
        yield web


def catalogue(shop: Web) -> bytes:
    return csv_of([[shop.url(f"/{number}.jpg")] for number in range(IMAGES)])


def environment(shop: Web, receiver: Receiver, database: str) -> dict[str, str]:
    opened = f"127.0.0.1/32:{shop.port},127.0.0.1/32:{receiver.port}"
    return {"DATABASE_URL": database, "IMAGEBATCH_ALLOWED_NETWORKS": opened}


async def leases_end(database: str) -> None:
    """Let the leases of a dead engine end now rather than in a minute."""
    connection = await asyncpg.connect(database)
    assert (
        await connection.execute(
            "UPDATE processing_requests SET lease_until = now() WHERE lease_holder IS NOT NULL"
        )
        == "UPDATE 1"
    )
    await connection.close()


def delivered(receiver: Receiver) -> int:
    return len({request.headers["webhook-id"] for request in receiver.requests})


async def test_with_an_s3_each_they_leave_the_others_batches_alone(
    tmp_path: Path, shared: str, shop: Web, gate: Gate, receiver: Receiver
) -> None:
    """Also while one of the two is down: its batch says what it waits for, and ends when it is back."""
    env = environment(shop, receiver, shared)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Up(tmp_path / "first", **env))
        second = await stack.enter_async_context(Up(tmp_path / "second", **env))
        hook = receiver.url("/hook")
        accepted = [await up.upload(catalogue(shop), webhook_url=hook) for up in (first, second) * 3]
        for one in accepted:
            status = await first.until_done(one["request_id"])
            assert (status["status"], status["images"]["succeeded"]) == ("complete", IMAGES), status
        await gate.open(0)
        held_up = await second.upload(catalogue(shop), webhook_url=hook)
        await second.until_phase(held_up["request_id"], "Running")
        await second.kill(with_children=True)
        await gate.open(IMAGES)
        await leases_end(shared)

        async def says_so() -> bool:
            told = await first.status(held_up["request_id"])
            return told["reason"] == "OtherStore" and "on another S3" in told["waiting"]

        await until(says_so)
        await second.start()
        status = await first.until_done(held_up["request_id"])
        assert (status["status"], status["images"]["succeeded"]) == ("complete", IMAGES), status
        async with asyncio.timeout(30):
            await receiver.until_requests(7)
    assert delivered(receiver) == 7


async def test_with_one_s3_too_one_drives_a_batch_and_the_other_takes_it_over(
    tmp_path: Path, servers: Servers, shared: str, shop: Web, gate: Gate, receiver: Receiver
) -> None:
    env = {**environment(shop, receiver, shared), **settings.as_env(servers.s3)}
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(Up(tmp_path / "first", **env))
        second = await stack.enter_async_context(Up(tmp_path / "second", **env))
        await gate.open(0)
        accepted = await first.upload(catalogue(shop), webhook_url=receiver.url("/hook"))
        await second.until_phase(accepted["request_id"], "Running")
        await first.kill(with_children=True)
        await gate.open(IMAGES)
        await leases_end(shared)
        status = await second.until_done(accepted["request_id"])
        assert (status["status"], status["images"]["succeeded"]) == ("complete", IMAGES), status
        async with asyncio.timeout(30):
            await receiver.until_requests(1)
    assert delivered(receiver) == 1
