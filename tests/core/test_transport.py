"""The guarded way out."""

from datetime import UTC, datetime

import httpx
import pytest

from imagebatch import transport
from imagebatch.errors import AddressForbiddenError
from imagebatch.guard import AddressPolicy
from imagebatch_testing.receiver import Receiver, Reply

pytestmark = pytest.mark.anyio

TIMEOUT = httpx.Timeout(5)


async def get(url: str, policy: str = "", *, follow: bool = False) -> httpx.Response:
    async with transport.client(AddressPolicy.parse(policy), connections=2, timeout=TIMEOUT) as client:
        return await client.get(url, follow_redirects=follow)


async def test_an_opened_address_is_dialled(receiver: Receiver) -> None:
    response = await get(receiver.url("/x"), f"127.0.0.1/32:{receiver.port}")
    assert response.status_code == 200
    assert receiver.requests[0].headers["host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1"]
)
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


async def test_redirects_end_after_five(receiver: Receiver) -> None:
    receiver.replies["/loop"] = Reply(302, {"location": "/loop"})
    with pytest.raises(httpx.TooManyRedirects):
        await get(receiver.url("/loop"), "127.0.0.1/32", follow=True)
    assert len(receiver.requests) == 6


async def test_a_name_without_address_is_told_apart() -> None:
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
    ],
)
def test_retry_after_is_read_as_seconds_or_date(value: str, seconds: float | None) -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert transport.retry_after_seconds(httpx.Headers({"retry-after": value}), now) == seconds
