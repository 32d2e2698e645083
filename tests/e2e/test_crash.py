"""The local system is killed without warning in the middle of a batch, and goes on at the next start."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from imagebatch.storage import keys
from imagebatch_testing.findings import Finding
from imagebatch_testing.gate import Gate
from imagebatch_testing.local import Up, csv_of, picture
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.waiting import until
from imagebatch_testing.web import Page, Web, serving

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

IMAGES = 300
ROWS_PER_SHARD = "20"


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def shop(gate: Gate) -> AsyncIterator[Web]:
    """300 different images behind the gate; whatever else is asked for is 404."""
    async with serving({f"/{number}.jpg": gate.page(number) for number in range(IMAGES)}) as web:
        yield web


def catalogue(shop: Web) -> bytes:
    links = [shop.url(f"/{number}.jpg") for number in range(IMAGES)]
    products = [links[first : first + 3] for first in range(0, IMAGES, 3)]
    for product in products[::10]:
        product.insert(1, shop.url("/missing.jpg"))
    return csv_of(products)


def system(data: Path, shop: Web, receiver: Receiver) -> Up:
    allowed = f"127.0.0.1/32:{shop.port},127.0.0.1/32:{receiver.port}"
    return Up(data, IMAGEBATCH_ALLOWED_NETWORKS=allowed, IMAGEBATCH_CONNECTIONS="4")


async def result(status: dict[str, Any]) -> tuple[list[list[str]], list[bytes]]:
    """The output CSV without what derives from the id, and the images, in order."""
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(status["output_csv"])).text
        prefix = keys.image_prefix(status["request_id"])
        table = list(csv.reader(io.StringIO(text, newline="")))
        links = [link for row in table[1:] for link in row[3].split(",") if link]
        images = [(await client.get(link)).content for link in links]
    base = links[0][: links[0].index(prefix)]
    return [[cell.replace(base + prefix, "") for cell in row] for row in table], images


async def undisturbed(data: Path, shop: Web, receiver: Receiver) -> tuple[list[list[str]], list[bytes]]:
    async with system(data, shop, receiver) as up:
        accepted = await up.upload(catalogue(shop), rowsPerShard=ROWS_PER_SHARD)
        return await result(await up.until_done(accepted["request_id"]))


async def test_a_killed_system_finishes_the_batch_at_its_next_start(
    tmp_path: Path, shop: Web, gate: Gate, receiver: Receiver
) -> None:
    """Killed twice: everything at once, then the parent alone, whose children must not be in the way."""
    await gate.open(IMAGES)
    expected_table, expected_images = await undisturbed(tmp_path / "undisturbed", shop, receiver)
    await gate.open(100)
    async with system(tmp_path / "killed", shop, receiver) as up:
        accepted = await up.upload(
            catalogue(shop), rowsPerShard=ROWS_PER_SHARD, webhook_url=receiver.url("/hook")
        )
        left = []
        for images_done, with_children, open_next in ((60, True, 220), (180, False, IMAGES)):
            before = await up.until_done(accepted["request_id"], images=images_done)
            assert before["status"] == "pending"
            left += up.family()
            await up.kill(with_children=with_children)
            await gate.open(open_next)
            await up.start()
        status = await up.until_done(accepted["request_id"])
        assert status["status"] == "complete"
        table, images = await result(status)
        async with asyncio.timeout(30):
            await receiver.until_requests(1)
        assert len(set(up.family()) & set(left)) == 0
    assert table == expected_table
    assert images == expected_images
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert not [
        process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]


async def test_a_kill_near_the_end_of_a_shard_costs_little_of_it(
    tmp_path: Path, receiver: Receiver, finding: Finding
) -> None:
    """Everything at once, with nine tenths of 500 images done: a twentieth may be downloaded again."""
    images = 500
    async with serving({"/p.jpg": Page(picture(1))}) as web:
        content = csv_of([[web.url(f"/p.jpg?{number}")] for number in range(images)])
        async with system(tmp_path / "data", web, receiver) as up:
            accepted = await up.upload(content, webhook_url=receiver.url("/hook"))
            await until(lambda: web.requests.total() >= 0.9 * images)
            await up.kill(with_children=True)
            await up.start()
            status = await up.until_done(accepted["request_id"])
            async with asyncio.timeout(30):
                await receiver.until_requests(1)
    assert (status["status"], status["images"]["succeeded"]) == ("complete", images)
    assert images <= web.requests.total() <= images + images // 20
    finding(
        f"`imagebatch up` with all its processes: killed at 90% of a shard of {images}",
        times=1,
        links=images,
        lost=images - status["images"]["succeeded"],
        again=web.requests.total() - images,
    )
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1


async def test_stopping_ends_every_process(tmp_path: Path, shop: Web, gate: Gate, receiver: Receiver) -> None:
    await gate.open(10)
    async with system(tmp_path / "data", shop, receiver) as up:
        accepted = await up.upload(catalogue(shop), rowsPerShard=ROWS_PER_SHARD)
        await up.until_done(accepted["request_id"], images=1)
        family = up.family()
    assert len(family) > 3
    assert not [process for process in family if process.is_running()]
