"""S3 misbehaves for a while, in every way that one knows: the batch waits, says so, and then ends right.

The bound on downloads: each link once, and once more what was under way when a run of the shard ended, which
is `UNDER_WAY` links at most, and only where waiting does not cure it (wrong credentials).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from imagebatch import settings
from imagebatch.storage import keys
from imagebatch.storage.s3 import S3Store
from imagebatch_testing.findings import Finding
from imagebatch_testing.gate import Gate
from imagebatch_testing.http_proxy import SLOW_DOWN, Answer, HttpProxy, proxied, s3_error
from imagebatch_testing.local import Up, csv_of
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.servers import Servers
from imagebatch_testing.waiting import until
from imagebatch_testing.web import Web, serving

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

IMAGES = 40
STORED = 12
"""Images that are stored before the trouble begins."""

UNDER_WAY = 24
"""The links that a run takes at once on two cores, and the images of two parts of its checkpoint."""

SLOW_S = 60.0

Refuses = Callable[[str, str], Answer | None]


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def shop(gate: Gate) -> AsyncIterator[Web]:
    async with serving({f"/{number}.jpg": gate.page(number) for number in range(IMAGES)}) as web:
        yield web


@dataclass
class Troubled:
    """A system whose S3 is behind a proxy, with a batch of which the first images are stored."""

    up: Up
    s3: HttpProxy
    shop: Web
    gate: Gate
    receiver: Receiver
    request_id: str
    finding: Finding
    what: str

    async def go_on(self) -> None:
        """Let the shop serve the other images."""
        await self.gate.open(IMAGES)

    async def until_it_says(self, reason: str, *words: str) -> None:
        async def says_so() -> bool:
            with suppress(httpx.HTTPError, KeyError):
                told = await self.up.status(self.request_id)
                return told["reason"] == reason and all(word in told["waiting"] for word in words)
            return False

        await until(says_so, SLOW_S)

    async def ends_right(self, again: int = 0) -> None:
        """With all images, at most `again` of them downloaded a second time, and one webhook."""
        status = await self.up.until_done(self.request_id)
        assert (status["status"], status["images"]["succeeded"]) == ("complete", IMAGES), status
        assert (status["reason"], status["waiting"]) == (None, None)
        async with asyncio.timeout(SLOW_S):
            await self.receiver.until_requests(1)
        assert len({request.headers["webhook-id"] for request in self.receiver.requests}) == 1
        done_again = self.shop.requests.total() - IMAGES
        assert 0 <= done_again <= again
        lost = IMAGES - status["images"]["succeeded"]
        self.finding(f"S3: {self.what}", times=1, links=IMAGES, lost=lost, again=done_again)
        assert (await self.up.http.get("/readyz")).is_success


TOLD = {
    "test_what_it_refuses_for_a_while_is_downloaded_once[503 for puts]": "503 to every put for a while",
    "test_what_it_refuses_for_a_while_is_downloaded_once[full]": "507, it is full, to every put for a while",
    "test_what_it_refuses_for_a_while_is_downloaded_once[503 for all]": "503 to everything for a while",
    "test_slow_answers_cost_time_only": "0.3 s later with every answer",
    "test_puts_that_break_in_the_middle_are_put_again": "each put reset in the middle, once",
    "test_with_wrong_credentials_it_waits_until_they_are_right": "wrong credentials, then right ones",
    "test_while_only_puts_are_denied_nothing_more_is_downloaded": "puts denied for a while",
}


@pytest.fixture
async def troubled(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    servers: Servers,
    database_url: str,
    shop: Web,
    gate: Gate,
    receiver: Receiver,
    finding: Finding,
) -> AsyncIterator[Troubled]:
    async with proxied(servers.s3.s3_endpoint) as s3:
        env = {
            **settings.as_env(servers.s3),
            "IMAGEBATCH_S3_ENDPOINT": s3.url,
            "DATABASE_URL": database_url,
            "IMAGEBATCH_ALLOWED_NETWORKS": f"127.0.0.1/32:{shop.port},127.0.0.1/32:{receiver.port}",
        }
        async with Up(tmp_path / "data", **env) as up:
            await gate.open(STORED)
            content = csv_of([[shop.url(f"/{number}.jpg")] for number in range(IMAGES)])
            accepted = await up.upload(content, webhook_url=receiver.url("/hook"))
            await up.until_done(accepted["request_id"], STORED)
            what = TOLD[request.node.name]
            yield Troubled(up, s3, shop, gate, receiver, accepted["request_id"], finding, what)


def puts(refusal: Answer) -> Refuses:
    return lambda method, _: refusal if method == "PUT" else None


@pytest.mark.parametrize(
    ("refuses", "reason", "words"),
    [
        (puts(SLOW_DOWN), "StoreThrottled", "503"),
        (puts(s3_error(507, "XMinioStorageFull")), "StoreFull", "XMinioStorageFull"),
        (lambda *_: SLOW_DOWN, "StoreThrottled", "503"),
    ],
    ids=["503 for puts", "full", "503 for all"],
)
async def test_what_it_refuses_for_a_while_is_downloaded_once(
    troubled: Troubled, refuses: Refuses, reason: str, words: str
) -> None:
    troubled.s3.refuses = refuses
    await troubled.go_on()
    await troubled.until_it_says(reason, words)
    ready = await troubled.up.http.get("/readyz")
    assert (ready.status_code, "s3" in ready.text) == (503, True)
    troubled.s3.refuses = lambda *_: None
    await troubled.ends_right()


async def test_slow_answers_cost_time_only(troubled: Troubled) -> None:
    troubled.s3.delay_s = 0.3
    await troubled.go_on()
    await troubled.ends_right()


async def test_puts_that_break_in_the_middle_are_put_again(troubled: Troubled) -> None:
    seen: set[str] = set()

    def breaks(method: str, path: str) -> bool:
        is_first = method == "PUT" and path not in seen
        seen.add(path)
        return is_first

    troubled.s3.resets = breaks
    await troubled.go_on()
    await troubled.ends_right()
    assert any(keys.IMAGES in path for path in seen)


async def test_with_wrong_credentials_it_waits_until_they_are_right(troubled: Troubled) -> None:
    troubled.s3.refuses = lambda *_: s3_error(403, "SignatureDoesNotMatch")
    await troubled.go_on()
    await troubled.until_it_says("StoreUnavailable", "SignatureDoesNotMatch")
    downloads = troubled.shop.requests.total()
    await asyncio.sleep(3)  # further runs of the shard end before they download anything
    assert troubled.shop.requests.total() == downloads
    troubled.s3.refuses = lambda *_: None
    await troubled.ends_right(UNDER_WAY)


async def test_while_only_puts_are_denied_nothing_more_is_downloaded(troubled: Troubled) -> None:
    troubled.s3.refuses = puts(s3_error(403, "AccessDenied"))
    await troubled.go_on()
    await troubled.until_it_says("StoreUnavailable", "AccessDenied")
    downloads = troubled.shop.requests.total()
    await asyncio.sleep(3)
    assert troubled.shop.requests.total() == downloads
    troubled.s3.refuses = lambda *_: None
    await troubled.ends_right(UNDER_WAY)


async def test_where_the_bucket_may_not_be_listed_what_is_missing_is_said(
    tmp_path: Path, servers: Servers, s3_store: S3Store, shop: Web, gate: Gate, database_url: str
) -> None:
    """AWS answers 403 for an object that is not there to who may not list the bucket."""
    async with proxied(servers.s3.s3_endpoint) as s3:
        env = {
            **settings.as_env(servers.s3),
            "IMAGEBATCH_S3_ENDPOINT": s3.url,
            "DATABASE_URL": database_url,
            "IMAGEBATCH_ALLOWED_NETWORKS": f"127.0.0.1/32:{shop.port}",
        }
        async with Up(tmp_path / "data", **env) as up:
            await gate.open(IMAGES)

            def refuses(method: str, path: str) -> Answer | None:
                key = path.partition("?")[0].removeprefix(f"/{servers.s3.s3_bucket}").removeprefix("/")
                is_to_list = not key
                is_missing = method in {"HEAD", "GET"} and (is_to_list or s3_store.head(key) is None)
                return s3_error(403, "AccessDenied") if is_missing else None

            s3.refuses = refuses
            accepted = await up.upload(csv_of([[shop.url(f"/{n}.jpg")] for n in range(IMAGES)]))

            async def says_so() -> bool:
                told = await up.status(accepted["request_id"])
                return told["reason"] == "StoreUnavailable" and "s3:ListBucket" in told["waiting"]

            await until(says_so, SLOW_S)
            s3.refuses = lambda *_: None
            status = await up.until_done(accepted["request_id"])
            assert (status["status"], status["images"]["succeeded"]) == ("complete", IMAGES), status
            assert shop.requests.total() == IMAGES
