"""Against `imagebatch up` on this machine: its start, a small batch from upload to end, and medians of upload
and status latency while ten batches run.

The images are those of examples/, served by a process of its own. Usage: latency.py [BATCHES]
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from imagebatch.csv import rows
from imagebatch_api.server import serve
from imagebatch_cli import examples
from imagebatch_cli.data_folder import LOOPBACK, free_ports

BATCHES = 10
ROWS = 40
LINKS_PER_ROW = 3
SMALL_ROWS = 5
SMALL_BATCHES = 5
SMALL_BATCH = (10, 1)
"""Rows, and links of each: ten images."""

LOOK_S = 0.01
START_S = 60.0


def main() -> None:
    if sys.argv[1:2] == ["--shop"]:
        images = examples.find_images()
        assert images is not None
        asyncio.run(serve(examples.app(images), LOOPBACK, int(sys.argv[2])))
        return
    asyncio.run(measure(int(sys.argv[1]) if sys.argv[1:] else BATCHES))


async def measure(batches: int) -> None:
    """Idle first, then under the load of the batches, until they are done."""
    shop_port, api_port = free_ports(2)
    asked_at = time.perf_counter()
    async with running(shop_port, api_port) as client:
        print(f"`imagebatch up` ready after {time.perf_counter() - asked_at:.2f} s, in an empty folder")
        small = csv_of(shop_port, SMALL_ROWS)
        print(f"{'':<28} {'n':>5} {'median ms':>10} {'p95 ms':>8} {'max ms':>8}")
        ten = csv_of(shop_port, *SMALL_BATCH)
        show("10 images, upload to end", [await timed_batch(client, ten) for _ in range(SMALL_BATCHES)])
        idle = [await timed_upload(client, small) for _ in range(20)]
        await until_idle(client, [request_id for _, request_id in idle])
        show("upload, idle", [seconds for seconds, _ in idle])
        show("status, idle", [await timed_status(client, idle[0][1]) for _ in range(100)])
        await under_load(client, batches, shop_port, small)


async def under_load(client: httpx.AsyncClient, batches: int, shop_port: int, small: bytes) -> None:
    big = csv_of(shop_port, ROWS)
    started = time.perf_counter()
    ids = [(await timed_upload(client, big))[1] for _ in range(batches)]
    uploads: list[float] = []
    statuses: list[float] = []
    extra: list[str] = []
    while await any_pending(client, ids):
        statuses += [await timed_status(client, request_id) for request_id in ids]
        if len(uploads) < 20:
            seconds, request_id = await timed_upload(client, small)
            uploads.append(seconds)
            extra.append(request_id)
        await asyncio.sleep(0.1)
    wall = time.perf_counter() - started
    show(f"upload, {batches} batches run", uploads)
    show(f"status, {batches} batches run", statuses)
    images = batches * ROWS * LINKS_PER_ROW + len(extra) * SMALL_ROWS * LINKS_PER_ROW
    print(f"{batches} batches of {ROWS * LINKS_PER_ROW} images: {wall:.1f} s, {images / wall:.1f} images/s")
    await until_idle(client, extra)


def show(what: str, seconds: list[float]) -> None:
    ordered = sorted(second * 1000 for second in seconds)
    p95 = ordered[int(0.95 * (len(ordered) - 1))]
    print(f"{what:<28} {len(ordered):>5} {statistics.median(ordered):>10.1f} {p95:>8.1f} {ordered[-1]:>8.1f}")


async def timed_upload(client: httpx.AsyncClient, content: bytes) -> tuple[float, str]:
    started = time.perf_counter()
    response = await client.post("/upload", files={"file": ("products.csv", content, "text/csv")})
    response.raise_for_status()
    return time.perf_counter() - started, response.json()["request_id"]


async def timed_batch(client: httpx.AsyncClient, content: bytes) -> float:
    started = time.perf_counter()
    _, request_id = await timed_upload(client, content)
    while await any_pending(client, [request_id]):  # noqa: ASYNC110 - another process ends it
        await asyncio.sleep(LOOK_S)
    return time.perf_counter() - started


async def timed_status(client: httpx.AsyncClient, request_id: str) -> float:
    started = time.perf_counter()
    (await client.get(f"/status/{request_id}")).raise_for_status()
    return time.perf_counter() - started


async def any_pending(client: httpx.AsyncClient, ids: list[str]) -> bool:
    for request_id in ids:
        if (await client.get(f"/status/{request_id}")).json()["status"] == "pending":
            return True
    return False


async def until_idle(client: httpx.AsyncClient, ids: list[str]) -> None:
    while await any_pending(client, ids):  # noqa: ASYNC110 - another process ends it
        await asyncio.sleep(0.1)


def csv_of(shop_port: int, size: int, links_per_row: int = LINKS_PER_ROW) -> bytes:
    """A CSV of `size` products over the example images that succeed."""
    images = examples.find_images()
    assert images is not None
    paths = sorted(path for path in images.rglob("*.jpg") if path.parent.name != "broken")
    names = [path.relative_to(images).as_posix().replace(" ", "%20") for path in paths]
    urls = [f"http://{LOOPBACK}:{shop_port}/{name}" for name in names if name.isascii()]
    table: list[tuple[str, ...]] = [rows.COLUMNS]
    for number in range(size):
        links = [urls[(number * links_per_row + slot) % len(urls)] for slot in range(links_per_row)]
        table.append((str(number + 1), f"Product {number + 1}", ",".join(links)))
    return "".join(map(rows.record, table)).encode()


@asynccontextmanager
async def running(shop_port: int, api_port: int) -> AsyncIterator[httpx.AsyncClient]:
    """The shop and the system, each a process; stopped at the end."""
    with tempfile.TemporaryDirectory() as folder:
        env = {
            **os.environ,
            "IMAGEBATCH_EXAMPLES_PORT": "0",
            "IMAGEBATCH_ALLOWED_NETWORKS": f"{LOOPBACK}/32:{shop_port}",
        }
        command = [sys.executable, "-m", "imagebatch_cli", "up", "--port", str(api_port), "--data", folder]
        children = [
            await asyncio.create_subprocess_exec(sys.executable, __file__, "--shop", str(shop_port)),
            await asyncio.create_subprocess_exec(*command, env=env, stderr=subprocess.DEVNULL),
        ]
        try:
            base = f"http://{LOOPBACK}:{api_port}"
            async with httpx.AsyncClient(base_url=base, trust_env=False, timeout=60) as client:
                await until_ready(client)
                yield client
        finally:
            for child in children:
                child.terminate()
            await asyncio.gather(*(child.wait() for child in children))


async def until_ready(client: httpx.AsyncClient) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if (await client.get("/readyz")).is_success:
                return
        except httpx.TransportError:
            await asyncio.sleep(0.1)
    raise TimeoutError("imagebatch up did not start")


if __name__ == "__main__":
    main()
