"""The guarded way out: what it dials, and what it raises."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address

import httpx
import pytest

from imagebatch.errors import AddressForbiddenError
from imagebatch.net import transport
from imagebatch.net.guard import Address, AddressPolicy
from imagebatch_testing.receiver import Receiver, Reply
from imagebatch_testing.web import Page, serving

pytestmark = pytest.mark.anyio

TIMEOUT = httpx.Timeout(5)


async def get(url: str, policy: str = "", *, follow: bool = False) -> httpx.Response:
    async with transport.client(AddressPolicy.parse(policy), connections=2, timeout=TIMEOUT) as client:
        return await client.get(url, follow_redirects=follow)


async def test_an_opened_address_is_dialled(receiver: Receiver) -> None:
    response = await get(receiver.url("/x"), f"127.0.0.1/32:{receiver.port}")
    assert response.status_code == 200
    assert receiver.requests[0].headers["host"] == f"127.0.0.1:{receiver.port}"


class Names:
    """A resolver whose answers are played, one after the other; the last one stays. It counts look-ups."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, _: int) -> list[Address]:
        self.asked.append(host)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [ip_address(address) for address in answer]


def named(names: Names, policy: str = "127.0.0.1/32") -> httpx.AsyncClient:
    return transport.client(AddressPolicy.parse(policy), connections=4, timeout=TIMEOUT, resolve=names)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "localhost.", "LOCALHOST", "2130706433", "017700000001", "0x7f000001",
        "0x7f.1", "0177.0.0.1", "127.1", "127.0.0.1.", "0", "0.0.0.0", "%31%32%37.0.0.1",
        "\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021", "\uff4cocalhost",
        "\u24dbocalhost", "loc\u00adalhost", "[::1]", "[::]", "[::127.0.0.1]", "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[::1%25lo]",
        "[::1%lo]", "[fe80::1%25eth0]",
    ],
)  # fmt: skip
async def test_loopback_is_closed_however_it_is_written(receiver: Receiver, host: str) -> None:
    refusals = (AddressForbiddenError, httpx.ConnectError, httpx.InvalidURL, transport.NameNotFoundError)
    with pytest.raises(refusals):
        await get(f"http://{host}:{receiver.port}/")
    assert receiver.requests == []


async def test_a_redirect_to_a_closed_address_is_not_followed(receiver: Receiver) -> None:
    async with Receiver() as inner:
        receiver.replies["/go"] = Reply(302, {"location": inner.url("/secret")})
        with pytest.raises(AddressForbiddenError):
            await get(receiver.url("/go"), f"127.0.0.1/32:{receiver.port}", follow=True)
        assert inner.requests == []


async def test_a_name_is_looked_up_once_a_dial_and_every_address_is_checked(receiver: Receiver) -> None:
    names = Names(["127.0.0.1", "10.0.0.1"])
    async with named(names) as client:
        with pytest.raises(AddressForbiddenError, match=r"10\.0\.0\.1"):
            await client.get(f"http://shop.test:{receiver.port}/")
    assert (names.asked, receiver.requests) == (["shop.test"], [])


async def test_a_name_that_moves_to_a_closed_address_is_refused_at_the_next_dial(receiver: Receiver) -> None:
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    async with named(names) as client:
        assert (await client.get(f"http://shop.test:{receiver.port}/")).status_code == 200
        with pytest.raises(AddressForbiddenError):
            await client.get(f"http://shop.test:{receiver.port}/")  # the receiver closes its connections
    assert len(receiver.requests) == 1


async def test_the_next_address_is_tried_when_one_does_not_answer(receiver: Receiver) -> None:
    async with named(Names(["127.0.0.9", "127.0.0.1"]), "127.0.0.0/8") as client:
        response = await client.get(f"http://shop.test:{receiver.port}/x")
    assert response.status_code == 200
    assert receiver.requests[0].headers["host"] == f"shop.test:{receiver.port}"


async def test_connecting_ends_in_time_however_long_a_look_up_takes() -> None:
    async def forever(_: str, __: int) -> list[Address]:
        await asyncio.Event().wait()
        raise AssertionError

    timeout = httpx.Timeout(None, connect=0.05)
    async with transport.client(AddressPolicy(), connections=1, timeout=timeout, resolve=forever) as client:
        with pytest.raises(httpx.ConnectTimeout):
            await client.get("http://shop.test/")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "file:///etc/passwd", "http://"])
async def test_only_http_is_spoken(url: str) -> None:
    with pytest.raises((httpx.UnsupportedProtocol, httpx.InvalidURL)):
        await get(url, "127.0.0.1/32")


async def test_cookies_are_neither_kept_nor_sent_and_no_encoding_is_asked_for() -> None:
    async with (
        serving({"/set": Page(headers={"Set-Cookie": "id=1"}), "/next": Page()}) as web,
        named(Names(["127.0.0.1"])) as client,
    ):
        for path in ("/set", "/next"):
            await client.get(web.url(path))
    assert "cookie" not in web.seen_headers[1]
    assert {headers["accept-encoding"] for headers in web.seen_headers} == {"identity"}


async def test_a_body_is_sent_whole(receiver: Receiver) -> None:
    async with named(Names(["127.0.0.1"])) as client:
        await client.post(receiver.url("/hook"), content=b"x" * 300_000)
    assert receiver.requests[0].body == b"x" * 300_000


async def test_redirects_end_after_five(receiver: Receiver) -> None:
    receiver.replies["/loop"] = Reply(302, {"location": "/loop"})
    with pytest.raises(httpx.TooManyRedirects):
        await get(receiver.url("/loop"), "127.0.0.1/32", follow=True)
    assert len(receiver.requests) == 6


async def test_a_name_without_address_has_an_error_of_its_own() -> None:
    with pytest.raises(transport.NameNotFoundError):
        await get("http://nothing-here.invalid/")


async def test_a_closed_port_is_a_connect_error(unused_port: int) -> None:
    with pytest.raises(httpx.ConnectError):
        await get(f"http://127.0.0.1:{unused_port}/", "127.0.0.1/32")


async def test_proxies_of_the_environment_are_ignored(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port}")
    assert (await get(receiver.url("/x"), "127.0.0.1/32")).status_code == 200


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", None),
        ("soon", None),
        ("7", 7),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30),
        ("Mon, 23 Nov 2026 12:00:30 -0000", 30),
        ("Mon, 23 Nov 2020 12:00:00 GMT", 0),
        ("9" * 400, 9_999_999_999),
        ("Mon, 23 Nov 99999999999999 12:00:00 GMT", None),
        ("Mon, 23 Nov 2026 12:00:30 +9999999999", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(value: str, seconds: float | None) -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert transport.retry_after_seconds(httpx.Headers({"retry-after": value}), now) == seconds
