"""Webhooks: what is sent, when it is sent again, and to where it never is."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from imagebatch import webhook, webhook_address
from imagebatch.batch.lifecycle import Ending, Phase
from imagebatch.errors import InputRefusedError, SettingsError
from imagebatch.net import transport
from imagebatch.net.guard import AddressPolicy
from imagebatch.outcome import Counts
from imagebatch.records import NewRequest, Records, Result
from imagebatch.webhook import RETRY_SECONDS, DeliveryResult, Dispatcher, wait_seconds
from imagebatch_testing.receiver import Receiver, Reply

pytestmark = pytest.mark.anyio

COUNTS = Counts(total=5, succeeded=2, skipped=3)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW_SECRET = "whsec_c2Vjb25kIHNlY3JldCBvZiAzMiBieXRlcyBhdCBsZWFzdA=="
LOOPBACK = AddressPolicy.parse("127.0.0.0/8")


@asynccontextmanager
async def client(policy: AddressPolicy = LOOPBACK) -> AsyncIterator[httpx.AsyncClient]:
    async with transport.client(policy, connections=4, timeout=httpx.Timeout(5)) as opened:
        yield opened


async def finished(records: Records, url: str, request_id: str = "r1") -> str:
    """Record a finished request with a webhook; returns its delivery's id."""
    await records.create(NewRequest(request_id=request_id, webhook_url=url))
    request = await records.get(request_id)
    assert request is not None
    ending = Ending(Phase.COMPLETE, "Image processing completed successfully.")
    message_id = webhook.webhook_id(request_id, 1)
    await records.finish(
        request, ending, Result(), webhook.body(request_id, ending, "http://s3/o.csv", COUNTS), message_id
    )
    return message_id


async def send_due(dispatcher: Dispatcher) -> None:
    """Send what is due now, once, and return when it is sent."""
    await dispatcher._start_due()
    await asyncio.gather(*dispatcher._sending)


async def no_secret(_: str) -> str:
    return ""


def test_the_body_has_the_fields_of_the_seed() -> None:
    body = json.loads(webhook.body("r1", Ending(Phase.CANCELLED, "Cancelled", "cancelled"), None, COUNTS))
    assert body == {
        "request_id": "r1",
        "status": "failed",
        "output_csv": None,
        "message": "Cancelled",
        "error": "cancelled",
        "images": {"total": 5, "succeeded": 2, "failed": 0, "skipped": 3},
    }


def test_an_attempt_has_one_id() -> None:
    assert webhook.webhook_id("r1", 1) == webhook.webhook_id("r1", 1)
    assert len({webhook.webhook_id(request, attempt) for request in "ab" for attempt in (1, 2)}) == 4


@pytest.mark.parametrize(
    ("tries", "answer", "expected"),
    [
        (0, DeliveryResult(ok=False), 5),
        (1, DeliveryResult(ok=False), 300),
        (8, DeliveryResult(ok=False), 86_400),
        (9, DeliveryResult(ok=False), None),
        (0, DeliveryResult(ok=False, gone=True), None),
        (0, DeliveryResult(ok=False, retry_after=120), 120),
        (0, DeliveryResult(ok=False, retry_after=1e9), 86_400),
    ],
)
def test_waits_follow_the_schedule_and_retry_after(
    tries: int, answer: DeliveryResult, expected: float | None
) -> None:
    assert wait_seconds(tries, answer, 0.0) == expected


def test_the_whole_schedule_takes_three_days() -> None:
    assert 3 * 86_400 < sum(RETRY_SECONDS) < 4 * 86_400


@pytest.mark.parametrize(
    "secret", ["secret", "whsec_%%%", "whsec_!!é", " ", f"{SECRET} secret", f"{SECRET},{SECRET}"]
)
def test_an_unusable_secret_is_told_at_start_up(secret: str) -> None:
    with pytest.raises(SettingsError, match="IMAGEBATCH_WEBHOOK_SECRET"):
        webhook.check_secret(secret)


@pytest.mark.parametrize("text", ["", SECRET, f"{SECRET} {NEW_SECRET}", f" {SECRET}\n{NEW_SECRET}\n"])
def test_one_secret_or_several_are_usable(text: str) -> None:
    webhook.check_secret(text)


@pytest.mark.parametrize(
    "url",
    ["ftp://a/", "http://127.0.0.1/", "http://localhost:1/", "http://[::1]/", "http://u:p@a/", "nonsense"],
)
def test_a_url_that_could_never_work_is_refused_at_upload(url: str) -> None:
    with pytest.raises(InputRefusedError, match="webhook_url"):
        webhook_address.check_url(url, AddressPolicy())


def test_a_url_that_may_work_is_accepted() -> None:
    webhook_address.check_url("https://hooks.example/x", AddressPolicy())
    webhook_address.check_url("http://127.0.0.1:9/x", LOOPBACK)
    webhook_address.check_url("http://order_service:9/x", AddressPolicy())


@pytest.mark.integration
async def test_a_delivery_is_one_signed_post(records: Records, receiver: Receiver) -> None:
    message_id = await finished(records, receiver.url("/hook"))

    async def secret(_: str) -> str:
        return SECRET

    async with client() as opened:
        await send_due(Dispatcher(records, opened, secret))
        await send_due(Dispatcher(records, opened, secret))
    (request,) = receiver.requests
    assert request.method == "POST"
    assert request.headers["webhook-id"] == message_id
    assert request.headers["content-type"] == "application/json"
    assert Webhook(SECRET).verify(request.body, request.headers)["request_id"] == "r1"


@pytest.mark.integration
async def test_two_secrets_sign_both_so_that_receivers_change_when_they_like(
    records: Records, receiver: Receiver
) -> None:
    await finished(records, receiver.url("/hook"))

    async def secrets(_: str) -> str:
        return f"{SECRET}\n{NEW_SECRET}"

    async with client() as opened:
        await send_due(Dispatcher(records, opened, secrets))
    (request,) = receiver.requests
    for secret in (SECRET, NEW_SECRET):
        assert Webhook(secret).verify(request.body, request.headers)["request_id"] == "r1"
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(request.body, request.headers)


@pytest.mark.integration
@pytest.mark.parametrize("status", [301, 400, 500, 503])
async def test_a_failed_delivery_is_sent_again_with_the_same_id_and_body(
    records: Records, receiver: Receiver, status: int
) -> None:
    await finished(records, receiver.url("/hook"))
    replies = iter([Reply(status, {"location": receiver.url("/elsewhere")}), Reply(200)])
    receiver.replies["/hook"] = lambda _: next(replies)
    async with client() as opened:
        dispatcher = Dispatcher(records, opened, no_secret)
        await send_due(dispatcher)
        state = await records.delivery("r1")
        assert state is not None
        assert (state.state, state.last_error) == ("pending", f"HTTP {status}")
        await records.postpone_delivery(webhook.webhook_id("r1", 1), 0, "")
        await send_due(dispatcher)
    first, second = receiver.requests
    assert (first.path, first.body) == (second.path, second.body) == ("/hook", first.body)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    state = await records.delivery("r1")
    assert state is not None
    assert (state.state, state.tries) == ("delivered", 2)


@pytest.mark.integration
async def test_gone_stops_the_deliveries(records: Records, receiver: Receiver) -> None:
    await finished(records, receiver.url("/hook"))
    receiver.replies["/hook"] = Reply(410)
    async with client() as opened:
        await send_due(Dispatcher(records, opened, no_secret))
    state = await records.delivery("r1")
    assert state is not None
    assert state.state == "failed"


@pytest.mark.integration
async def test_a_webhook_never_reaches_a_closed_address(records: Records, receiver: Receiver) -> None:
    await finished(records, receiver.url("/hook").replace("127.0.0.1", "localhost"))
    async with client(AddressPolicy()) as opened:
        await send_due(Dispatcher(records, opened, no_secret))
    assert receiver.requests == []
    state = await records.delivery("r1")
    assert state is not None
    assert "AddressForbidden" in state.last_error


@pytest.mark.integration
async def test_the_dispatcher_wakes_for_what_is_put_into_the_outbox(
    records: Records, receiver: Receiver
) -> None:
    receiver.replies["/hook"] = Reply(200)
    async with client() as opened:
        dispatcher = Dispatcher(records, opened, no_secret)
        task = asyncio.create_task(dispatcher.run())
        await finished(records, receiver.url("/hook"))
        dispatcher.wake()
        async with asyncio.timeout(20):
            await receiver.until_requests(1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.integration
async def test_what_another_program_puts_into_the_outbox_is_found(
    records: Records, receiver: Receiver
) -> None:
    async with client() as opened:
        task = asyncio.create_task(Dispatcher(records, opened, no_secret, 0.05).run())
        await records.deliveries.add_test("msg_test_1", receiver.url("/hook"), "{}")
        async with asyncio.timeout(20):
            await receiver.until_requests(1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.integration
@pytest.mark.parametrize(
    "url", ["http://no-such-host.invalid/", "http://a..b/", "http://xn--/", "http://127.0.0.1:1/", "nonsense"]
)
async def test_no_url_can_stop_the_dispatcher(records: Records, url: str) -> None:
    await finished(records, url)
    async with client() as opened:
        await send_due(Dispatcher(records, opened, no_secret))
    state = await records.delivery("r1")
    assert state is not None
    assert (state.state, state.tries) == ("pending", 1)
    assert state.last_error


@pytest.mark.integration
@pytest.mark.parametrize("value", ["Wed, 21 Oct 2099 07:28:00 -0000", "\xb2", "-1", "soon"])
async def test_no_answer_can_stop_the_dispatcher(records: Records, receiver: Receiver, value: str) -> None:
    await finished(records, receiver.url("/hook"))
    receiver.replies["/hook"] = Reply(503, {"retry-after": value})
    async with client() as opened:
        await send_due(Dispatcher(records, opened, no_secret))
    state = await records.delivery("r1")
    assert state is not None
    assert (state.state, state.last_error) == ("pending", "HTTP 503")


@pytest.mark.integration
async def test_a_receiver_that_hangs_holds_up_nobody_else(records: Records, receiver: Receiver) -> None:
    async with await asyncio.start_server(_never_answers, "127.0.0.1", 0) as hanging, client() as opened:
        await finished(records, f"http://127.0.0.1:{hanging.sockets[0].getsockname()[1]}/")
        dispatcher = Dispatcher(records, opened, no_secret)
        task = asyncio.create_task(dispatcher.run())
        async with asyncio.timeout(15):
            while await records.next_delivery_seconds() == 0:  # noqa: ASYNC110 - the database knows
                await asyncio.sleep(0.01)
            await finished(records, receiver.url("/hook"), "r2")
            dispatcher.wake()
            await receiver.until_requests(1)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()
