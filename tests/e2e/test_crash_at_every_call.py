"""`imagebatch up` is killed at each of its calls to Postgres and S3 in turn, with all its processes.

Each time the next start ends the batch as an undisturbed run does: the same images and CSVs, and one webhook.
The client does what clients are told to: it uploads again, with the same Idempotency-Key, until it is accepted.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagebatch import settings
from imagebatch.records import Records, Request
from imagebatch.storage import keys
from imagebatch.storage.s3 import S3Store
from imagebatch_testing.crash_point import CrashPoint, let_claims_end
from imagebatch_testing.findings import Finding
from imagebatch_testing.gate import Gate
from imagebatch_testing.http_proxy import proxied
from imagebatch_testing.local import Up, csv_of
from imagebatch_testing.postgres_proxy import before
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.servers import Servers
from imagebatch_testing.web import Web, serving

pytestmark = [pytest.mark.anyio, pytest.mark.integration, pytest.mark.timeout(900)]

IMAGES = 3
MOST_CALLS = 200
"""More than a batch of three images makes."""

Scenario = Callable[["Crashing", str], Coroutine[None, None, None]]
"""What is asked of the batch, by its request id, before the shop answers."""


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def shop(gate: Gate) -> AsyncIterator[Web]:
    async with serving({f"/{number}.jpg": gate.page(number) for number in range(IMAGES)}) as web:
        yield web


@dataclass
class Crashing:
    """A system whose calls are counted, and what a batch left that it ran."""

    up: Up
    point: CrashPoint
    records: Records
    store: S3Store
    receiver: Receiver
    content: bytes
    database_url: str
    gate: Gate
    calls: dict[int, str] = field(default_factory=dict)
    stored: int = 0

    async def run(self, number: int, scenario: Scenario) -> "Left":
        """Run a batch, killed at its `number`-th call; 0 is never."""
        key = f"crash-{number}"
        self.point.arm(number)
        request_id = await self._upload(key)
        await scenario(self, request_id)
        await self.gate.open(IMAGES)
        row = await self.until_ended(request_id)
        while (sent := await self.records.delivery(request_id)) is None or sent.state == "pending":
            await self._go_on()
            await asyncio.sleep(0.02)
        self.calls[number] = self.point.crashed_at
        await self._go_on()
        return await self._left(row)

    async def until_ended(self, request_id: str) -> Request:
        while (row := await self.records.get(request_id)) is None or row.status == "pending":
            await self._go_on()
            await asyncio.sleep(0.02)
        return row

    async def ask(self, request_id: str, verb: str) -> None:
        """Have a verb done, and again until it is known to be done."""
        async with asyncio.timeout(60):
            while True:
                with suppress(httpx.HTTPError):
                    answer = await self.up.http.post(f"/batches/{request_id}/{verb}")
                    if answer.status_code != 503:
                        assert answer.is_success or answer.status_code == 409, answer.text
                        return
                await self._go_on()
                await asyncio.sleep(0.05)

    async def _upload(self, key: str) -> str:
        file = {"file": ("products.csv", self.content, "text/csv")}
        async with asyncio.timeout(60):
            while True:
                try:
                    answer = await self.up.http.post(
                        "/upload",
                        params={"rowsPerShard": "2"},
                        data={"webhook_url": self.receiver.url("/hook")},
                        files=file,
                        headers={"Idempotency-Key": key},
                    )
                    if answer.status_code == 202:
                        return str(answer.json()["request_id"])
                    assert answer.status_code in {409, 503}, answer.text
                except httpx.HTTPError:
                    assert self.point.crashed_at
                await self._go_on()
                await asyncio.sleep(0.05)

    async def _go_on(self) -> None:
        """Start the system again, if it was killed."""
        if self.point.crashed_at and self.point.at:
            self.point.at = 0
            await self.up.ended()
            await let_claims_end(self.database_url)
            await self.up.start()

    async def _left(self, row: Request) -> "Left":
        prefix = keys.image_prefix(row.request_id)
        images = {
            stored.key.removeprefix(prefix): self.store.get(stored.key) for stored in self.store.list(prefix)
        }
        self.stored += len(images)
        csvs = [key for key in (row.output_key, row.errors_key, row.report_key) if key]
        texts = [self.store.get(key).decode().replace(prefix, "") for key in csvs]
        ids = {
            request.headers["webhook-id"]
            for request in self.receiver.requests
            if row.request_id.encode() in request.body
        }
        return Left(row.status, row.counts.images(), images, texts, len(csvs), len(ids))


@dataclass(frozen=True)
class Left:
    """What a batch left, without what derives from its id."""

    status: str
    counts: dict[str, Any]
    images: dict[str, bytes]
    csvs: list[str]
    files: int
    webhooks: int


async def is_left_alone(crashing: Crashing, _: str) -> None:
    await crashing.gate.open(IMAGES)


async def is_suspended_and_resumed(crashing: Crashing, request_id: str) -> None:
    await crashing.ask(request_id, "suspend")
    await crashing.ask(request_id, "resume")


async def is_cancelled_and_tried_again(crashing: Crashing, request_id: str) -> None:
    await crashing.ask(request_id, "cancel")
    await crashing.until_ended(request_id)
    await crashing.ask(request_id, "retry")


@pytest.mark.parametrize(
    ("scenario", "step", "webhooks"),
    [(is_left_alone, 1, 1), (is_suspended_and_resumed, 6, 1), (is_cancelled_and_tried_again, 6, 2)],
    ids=lambda given: getattr(given, "__name__", ""),
)
async def test_wherever_it_is_killed_the_batch_ends_the_same(
    tmp_path: Path,
    servers: Servers,
    records: Records,
    s3_store: S3Store,
    shop: Web,
    gate: Gate,
    receiver: Receiver,
    scenario: Scenario,
    step: int,
    webhooks: int,
    finding: Finding,
) -> None:
    """At each call, of a batch that is changed meanwhile at each sixth; each attempt has its one webhook."""
    url = servers.database.database_url.get_secret_value()
    links = [[shop.url(f"/{number}.jpg")] for number in range(IMAGES)]
    links[1].append(shop.url("/missing.jpg"))
    async with before(url, tmp_path) as postgres, proxied(servers.s3.s3_endpoint) as s3:
        env = {
            **settings.as_env(servers.s3),
            "IMAGEBATCH_S3_ENDPOINT": s3.url,
            "DATABASE_URL": postgres.url,
            "IMAGEBATCH_ALLOWED_NETWORKS": f"127.0.0.1/32:{shop.port},127.0.0.1/32:{receiver.port}",
        }
        async with Up(tmp_path / "data", **env) as up:
            point = CrashPoint(up.kill_all)
            postgres.crash_point = s3.crash_point = point
            crashing = Crashing(up, point, records, s3_store, receiver, csv_of(links), url, gate)
            undisturbed = await crashing.run(0, scenario)
            assert (undisturbed.status, undisturbed.webhooks, undisturbed.files) == ("complete", webhooks, 3)
            assert len(undisturbed.images) == IMAGES
            for number in range(1, MOST_CALLS, step):
                await gate.open(0)
                left = await crashing.run(number, scenario)
                assert left == undisturbed, f"killed at call {number}, {crashing.calls[number]}"
                if not point.crashed_at:
                    break
            else:
                pytest.fail("it makes more calls than were tried")
    runs = len(crashing.calls)
    done_links = runs * (IMAGES + 1)
    finding(
        f"`imagebatch up` with all its processes: killed at {'each' if step == 1 else 'every sixth'} call to Postgres "
        f"and S3 of a small batch that {scenario.__name__.replace('_', ' ')}",
        times=runs - 2,  # neither the first run nor the last is disturbed
        links=done_links,
        lost=runs * IMAGES - crashing.stored,
        again=shop.requests.total() - done_links,
    )
