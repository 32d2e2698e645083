"""Receivers misbehave for days, and dispatchers die: each delivery keeps its id and its schedule.

Time is moved by changing rows.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import httpx
import pytest

from imagebatch import records as records_module
from imagebatch import webhook
from imagebatch.batch.lifecycle import Ending, Phase
from imagebatch.net import transport
from imagebatch.net.guard import AddressPolicy
from imagebatch.outcome import Counts
from imagebatch.records import NewRequest, RecordedDelivery, Records, Result
from imagebatch.webhook import JITTER, LEASE_S, RETRY_SECONDS, Dispatcher
from imagebatch_testing.receiver import Receiver, Reply
from imagebatch_testing.servers import Servers
from imagebatch_testing.web import Handler, serving

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

GIGABYTE = 1 << 30
ENDING = Ending(Phase.COMPLETE, "Image processing completed successfully.")


@asynccontextmanager
async def a_dispatcher(records: Records) -> AsyncIterator[Dispatcher]:
    """As a program that has just been started has it."""

    async def no_secret(_: str) -> str:
        return ""

    policy = AddressPolicy.parse("127.0.0.0/8")
    async with transport.client(policy, connections=16, timeout=httpx.Timeout(5)) as client:
        yield Dispatcher(records, client, no_secret)


async def finished(records: Records, url: str, request_id: str = "r1") -> str:
    """Record a finished request with a webhook; returns its delivery's id."""
    await records.create(NewRequest(request_id=request_id, webhook_url=url))
    request = await records.get(request_id)
    assert request is not None
    message_id = webhook.webhook_id(request_id, 1)
    body = webhook.body(request_id, ENDING, None, Counts())
    await records.finish(request, ENDING, Result(), body, message_id)
    return message_id


async def send_due(records: Records) -> None:
    """Send what is due now, once, by a program that is started for it."""
    async with a_dispatcher(records) as dispatcher:
        await dispatcher._start_due()
        await asyncio.gather(*dispatcher._sending)


async def known(records: Records, request_id: str = "r1") -> RecordedDelivery:
    (found,) = await records.deliveries.of(request_id)
    return found


async def wait_s(records: Records) -> float:
    """In how many seconds the next delivery is due."""
    found = await records.next_delivery_seconds()
    assert found is not None
    return found


async def pass_time(database_url: str, seconds: float) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute(
        "UPDATE webhook_deliveries SET due_at = due_at - make_interval(secs => $1)", seconds
    )
    await connection.close()


async def test_a_receiver_that_is_down_for_four_days_is_given_up_and_gets_it_later(
    records: Records, receiver: Receiver, database_url: str
) -> None:
    """Each try is another program's, as after a restart: the schedule is the outbox's."""
    message_id = await finished(records, receiver.url("/hook"))
    receiver.replies["/hook"] = Reply(503)
    for number, planned_s in enumerate(RETRY_SECONDS, 1):
        await send_due(records)
        assert len(receiver.requests) == number
        assert planned_s - 5 <= await wait_s(records) <= planned_s * (1 + JITTER)
        await pass_time(database_url, planned_s / 2)
        await send_due(records)
        assert len(receiver.requests) == number, "sent before its time"
        await pass_time(database_url, planned_s)
    await send_due(records)
    given_up = await known(records)
    assert (given_up.state, given_up.tries, given_up.last_error) == ("failed", 10, "HTTP 503")
    await pass_time(database_url, 86_400)
    await send_due(records)
    assert len(receiver.requests) == 10

    receiver.replies["/hook"] = Reply(204)
    assert await records.deliveries.redeliver("r1") is not None
    await send_due(records)
    delivered = await known(records)
    assert (delivered.webhook_id, delivered.state, delivered.tries) == (message_id, "delivered", 1)
    assert {request.headers["webhook-id"] for request in receiver.requests} == {message_id}
    assert len({request.body for request in receiver.requests}) == 1


async def test_several_dispatchers_send_each_delivery_once(
    records: Records, servers: Servers, receiver: Receiver
) -> None:
    ids = {await finished(records, receiver.url("/hook"), f"r{number}") for number in range(100)}
    async with AsyncExitStack() as stack:
        for _ in range(5):
            connected = await stack.enter_async_context(records_module.connect(servers.database))
            task = asyncio.create_task((await stack.enter_async_context(a_dispatcher(connected))).run())
            stack.push_async_callback(_cancelled, task)
        async with asyncio.timeout(30):
            await receiver.until_requests(len(ids))
            while await records.next_delivery_seconds() is not None:  # noqa: ASYNC110 - the database knows
                await asyncio.sleep(0.01)
    sent = [request.headers["webhook-id"] for request in receiver.requests]
    assert len(sent) == len(ids)
    assert set(sent) == ids


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_what_a_killed_dispatcher_had_claimed_is_sent_after_its_lease(
    records: Records, receiver: Receiver, database_url: str
) -> None:
    message_id = await finished(records, receiver.url("/hook"))
    (claimed,) = await records.claim_deliveries(1, LEASE_S)  # and then it was killed
    assert claimed.webhook_id == message_id
    await send_due(records)
    assert receiver.requests == []
    await pass_time(database_url, LEASE_S)
    await send_due(records)
    assert [request.headers["webhook-id"] for request in receiver.requests] == [message_id]
    assert (await known(records)).state == "delivered"


async def test_gone_is_given_up_at_once_and_can_be_sent_again(records: Records, receiver: Receiver) -> None:
    message_id = await finished(records, receiver.url("/hook"))
    receiver.replies["/hook"] = Reply(410)
    await send_due(records)
    given_up = await known(records)
    assert (given_up.state, given_up.tries, given_up.last_error) == ("failed", 1, "HTTP 410")
    del receiver.replies["/hook"]
    await records.deliveries.redeliver("r1")
    await send_due(records)
    assert [request.headers["webhook-id"] for request in receiver.requests] == [message_id] * 2
    assert (await known(records)).state == "delivered"


@pytest.mark.parametrize(
    ("retry_after", "least", "most"), [("120", 115, 120), ("9999999", 86_395, 86_400), ("soon", 0, 6)]
)
async def test_too_many_requests_waits_as_long_as_it_is_told_to(
    records: Records, receiver: Receiver, retry_after: str, least: float, most: float
) -> None:
    await finished(records, receiver.url("/hook"))
    receiver.replies["/hook"] = Reply(429, {"retry-after": retry_after})
    await send_due(records)
    assert least <= await wait_s(records) <= most
    assert (await known(records)).last_error == "HTTP 429"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(records: Records, receiver: Receiver, status: int) -> None:
    await finished(records, receiver.url("/hook"))
    receiver.replies["/hook"] = Reply(status, {"location": receiver.url("/elsewhere")})
    await send_due(records)
    assert [request.path for request in receiver.requests] == ["/hook"]
    found = await known(records)
    assert (found.state, found.last_error) == ("pending", f"HTTP {status}")


async def _never_answers(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def _answers_a_byte_at_a_time(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n" * 1000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("hangs", [_never_answers, _answers_a_byte_at_a_time])
async def test_a_receiver_that_hangs_is_left_in_time(
    records: Records, monkeypatch: pytest.MonkeyPatch, hangs: Handler
) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.5)
    async with serving({"/hook": hangs}) as web:
        await finished(records, web.url("/hook"))
        async with asyncio.timeout(5):
            await send_due(records)
    found = await known(records)
    assert (found.state, found.tries) == ("pending", 1)
    assert found.last_error == "no answer within 0.5 s"


@pytest.mark.parametrize(("status", "state"), [(200, "delivered"), (500, "pending")])
@pytest.mark.parametrize("head", [f"Content-Length: {GIGABYTE}", "Connection: close"])
async def test_nobody_reads_a_gigabyte(records: Records, head: str, status: int, state: str) -> None:
    sent = 0

    async def gigabyte(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(f"HTTP/1.1 {status} Much\r\n{head}\r\n\r\n".encode())
        while sent < GIGABYTE:
            writer.write(bytes(1 << 20))
            await writer.drain()
            sent += 1 << 20

    async with serving({"/hook": gigabyte}) as web:
        await finished(records, web.url("/hook"))
        async with asyncio.timeout(10):
            await send_due(records)
    assert (await known(records)).state == state
    assert sent <= 16 << 20, "what the sockets hold, no more"
