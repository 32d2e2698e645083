"""The disk of the data folder is full for a while: the batch waits, says so, and ends when there is room again.

Each link is downloaded once: images that are downloaded wait with their put.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from imagebatch.errors import StoreError
from imagebatch.storage.s3 import S3Store
from imagebatch.storage.store import Media
from imagebatch_cli.data_folder import DataFolder
from imagebatch_cli.disk_watch import restart_after_full
from imagebatch_cli.processes import keep_running
from imagebatch_cli.seaweed import EmbeddedS3
from imagebatch_testing.findings import Finding
from imagebatch_testing.gate import Gate
from imagebatch_testing.local import Up, csv_of
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.small_disk import SmallDisk, small_disk
from imagebatch_testing.waiting import until
from imagebatch_testing.web import Web, serving

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

DISK_MIB = 256
IMAGES = 60
STORED = 20
"""Images that are stored before the disk is full."""

SLOW_S = 60.0
TEXT = Media("text/plain")


@pytest.fixture(params=["data", "data/s3"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    """That of the whole data folder, and that of its objects alone."""
    folder = tmp_path / request.param
    folder.mkdir(parents=True)
    (tmp_path / "data").chmod(0o711)
    with small_disk(folder, DISK_MIB) as disk:
        folder.chmod(0o711)
        yield disk


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def shop(gate: Gate) -> AsyncIterator[Web]:
    async with serving({f"/{number}.jpg": gate.page(number) for number in range(IMAGES)}) as web:
        yield web


async def test_a_batch_waits_until_there_is_room(
    tmp_path: Path, disk: SmallDisk, shop: Web, gate: Gate, receiver: Receiver, finding: Finding
) -> None:
    opened = f"127.0.0.1/32:{shop.port},127.0.0.1/32:{receiver.port}"
    content = csv_of([[shop.url(f"/{number}.jpg")] for number in range(IMAGES)])
    async with Up(tmp_path / "data", IMAGEBATCH_ALLOWED_NETWORKS=opened) as up:
        await gate.open(STORED)
        request_id = (await up.upload(content, webhook_url=receiver.url("/hook")))["request_id"]
        await up.until_done(request_id, STORED)
        disk.fill()
        await gate.open(IMAGES)

        async def says_so() -> bool:
            with suppress(httpx.HTTPError, KeyError):
                told = await up.status(request_id)
                return told["reason"] == "StoreFull" and "is full" in told["waiting"]
            return False

        await until(says_so, SLOW_S)
        ready = await up.http.get("/readyz")
        assert (ready.status_code, "s3" in ready.text) == (503, True)
        refused = await up.http.post("/upload", files={"file": ("a.csv", content, "text/csv")})
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (503, "storage_full")
        disk.empty()
        status = await up.until_done(request_id)
        assert (status["status"], status["images"]["succeeded"]) == ("complete", IMAGES), status
        async with asyncio.timeout(SLOW_S):
            await receiver.until_requests(1)
        await until(lambda: _is_ready(up), SLOW_S)
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    assert shop.requests.total() == IMAGES
    what = f"the disk of {'the data folder' if disk.folder.name == 'data' else 'its objects alone'}: full for a while"
    lost, again = IMAGES - status["images"]["succeeded"], shop.requests.total() - IMAGES
    finding(what, times=1, links=IMAGES, lost=lost, again=again)


async def _is_ready(up: Up) -> bool:
    return (await up.http.get("/readyz")).is_success


async def test_the_embedded_s3_stores_again_where_its_own_tables_were_refused_room(tmp_path: Path) -> None:
    """One directory's entries are in one table: it takes none after a refusal, whatever room there is."""
    folder = DataFolder(tmp_path / "data")
    folder.path.mkdir()
    with small_disk(folder.objects, DISK_MIB) as disk, folder.locked():
        s3 = EmbeddedS3(folder, folder.prepare())
        await s3.start()
        store = S3Store(s3.settings, retries=0, trouble=s3.service.disk.trouble)
        kept = [asyncio.create_task(keep_running(s3)), asyncio.create_task(restart_after_full(s3.service))]
        try:
            await asyncio.to_thread(store.create_bucket)
            await asyncio.to_thread(store.put, "a/first", b"1", TEXT)
            disk.fill(40 * 1024)
            with pytest.raises(StoreError, match="is full"):
                await asyncio.to_thread(_put_until_refused, store)
            disk.empty()

            async def stores() -> bool:
                with suppress(StoreError):
                    await asyncio.to_thread(store.put, "a/last", b"1", TEXT)
                    return True
                return False

            await until(stores, SLOW_S)
            assert store.get("a/first") == b"1"
        finally:
            for task in kept:
                task.cancel()
            await asyncio.gather(*kept, return_exceptions=True)
            store.close()
            await s3.stop()


def _put_until_refused(store: S3Store) -> None:
    """Small objects: what SeaweedFS notes of them needs more room than they do."""
    for number in range(1000):
        store.put(f"a/{number}", b"1", TEXT)
