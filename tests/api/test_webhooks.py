"""Webhooks seen by their receivers' owners: what became of each, once more, and a test."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from standardwebhooks import Webhook

from imagebatch import webhook
from imagebatch.batch.control import RecordedControl
from imagebatch.batch.lifecycle import Ending, Phase
from imagebatch.net import transport
from imagebatch.net.guard import AddressPolicy
from imagebatch.outcome import Counts
from imagebatch.records import NewRequest, Records, Result
from imagebatch_api import tokens, trial_webhook
from imagebatch_testing.receiver import Receiver, Reply
from imagebatch_testing.waiting import until

from .conftest import Connect, MakeApp

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

LOOPBACK = AddressPolicy.parse("127.0.0.0/8")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_c2Vjb25kIHNlY3JldCBvZiAzMiBieXRlcyBhdCBsZWFzdA=="
ENDING = Ending(Phase.COMPLETE, "done")


@asynccontextmanager
async def dispatching(records: Records, secret: str = "") -> AsyncIterator[webhook.Dispatcher]:
    """A dispatcher that runs, with these secrets."""

    async def secret_for(_: str) -> str:
        return secret

    async with transport.client(LOOPBACK, connections=4, timeout=httpx.Timeout(5)) as client:
        dispatcher = webhook.Dispatcher(records, client, secret_for)
        task = asyncio.create_task(dispatcher.run())
        try:
            yield dispatcher
        finally:
            task.cancel()
            await asyncio.wait([task])


@pytest.fixture
async def dispatcher(records: Records) -> AsyncIterator[webhook.Dispatcher]:
    async with dispatching(records, f"{SECRET} {OTHER_SECRET}") as running:
        yield running


@pytest.fixture
async def client(
    make_app: MakeApp, connect: Connect, records: Records, dispatcher: webhook.Dispatcher
) -> AsyncIterator[httpx.AsyncClient]:
    control = RecordedControl(records, lambda _: None, dispatcher.wake)
    async with connect(make_app(records=records, control=control, policy=LOOPBACK)) as connected:
        yield connected


@pytest.fixture
async def lonely(make_app: MakeApp, connect: Connect, records: Records) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API for which nobody sends."""
    async with connect(make_app(records=records, policy=LOOPBACK)) as connected:
        yield connected


async def finished(records: Records, url: str | None) -> None:
    await records.create(NewRequest(request_id="r1", webhook_url=url))
    request = await records.get("r1")
    assert request is not None
    body = webhook.body("r1", ENDING, None, Counts())
    assert await records.finish(request, ENDING, Result(), body, webhook.webhook_id("r1", 1))


async def deliveries_of(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    answer = await client.get("/batches/r1/webhooks")
    assert answer.status_code == 200
    found: list[dict[str, Any]] = answer.json()["deliveries"]
    return found


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


async def test_deliveries_say_how_they_stand(
    lonely: httpx.AsyncClient, records: Records, receiver: Receiver
) -> None:
    await finished(records, receiver.url("/hook"))
    (delivery,) = await deliveries_of(lonely)
    assert delivery.pop("next_try_at").endswith("Z")
    assert delivery == {
        "webhook_id": webhook.webhook_id("r1", 1),
        "attempt": 1,
        "url": receiver.url("/hook"),
        "state": "pending",
        "tries": 0,
        "last_error": None,
    }
    await records.settle_delivery(webhook.webhook_id("r1", 1), delivered=False, error="HTTP 500")
    (delivery,) = await deliveries_of(lonely)
    assert (delivery["state"], delivery["last_error"], delivery["next_try_at"]) == (
        "failed",
        "HTTP 500",
        None,
    )


async def test_each_attempt_has_its_delivery_the_newest_first(
    lonely: httpx.AsyncClient, records: Records
) -> None:
    await finished(records, "http://hook.example/")
    await records.reopen("r1", 2)
    request = await records.get("r1")
    assert request is not None
    assert await records.finish(request, ENDING, Result(), "{}", webhook.webhook_id("r1", 2))
    assert [each["attempt"] for each in await deliveries_of(lonely)] == [2, 1]


async def test_a_delivery_is_sent_once_more_under_its_id(
    client: httpx.AsyncClient, records: Records, receiver: Receiver, dispatcher: webhook.Dispatcher
) -> None:
    await finished(records, receiver.url("/hook"))
    dispatcher.wake()
    await until_state(client, "delivered")
    answer = await client.post("/batches/r1/webhooks/redeliver")
    assert (answer.status_code, answer.json()["state"], answer.json()["tries"]) == (200, "pending", 0)
    async with asyncio.timeout(20):
        await receiver.until_requests(2)
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == answer.json()["webhook_id"]
    assert first.body == second.body
    await until_state(client, "delivered")


async def until_state(client: httpx.AsyncClient, state: str) -> None:
    async def is_so() -> bool:
        return [each["state"] for each in await deliveries_of(client)] == [state]

    await until(is_so)


async def test_what_has_no_webhook_cannot_be_redelivered(lonely: httpx.AsyncClient, records: Records) -> None:
    await finished(records, None)
    assert await deliveries_of(lonely) == []
    assert code_of(await lonely.post("/batches/r1/webhooks/redeliver")) == (409, "no_webhook")


async def test_before_the_end_there_is_nothing_to_redeliver(
    lonely: httpx.AsyncClient, records: Records
) -> None:
    await records.create(NewRequest(request_id="r1", webhook_url="http://hook.example/"))
    assert code_of(await lonely.post("/batches/r1/webhooks/redeliver")) == (409, "no_webhook")


# -- tests -----------------------------------------------------------------------------------------------


async def test_a_test_is_one_signed_post(client: httpx.AsyncClient, receiver: Receiver) -> None:
    answer = await client.post("/webhooks/test", json={"url": receiver.url("/hook")})
    document = answer.json()
    assert (answer.status_code, document["delivered"], document["error"]) == (200, True, None)
    (request,) = receiver.requests
    assert request.headers["webhook-id"] == document["webhook_id"]
    for secret in (SECRET, OTHER_SECRET):
        body = Webhook(secret).verify(request.body, request.headers)
        assert body["type"] == "test"
        assert body.keys() - {"type"} == json.loads(webhook.body("r1", ENDING, None, Counts())).keys()
    assert len(request.headers["webhook-signature"].split()) == 2


async def test_a_test_that_fails_is_tried_once_and_told(
    client: httpx.AsyncClient, receiver: Receiver, records: Records
) -> None:
    receiver.replies["/hook"] = Reply(500)
    answer = await client.post("/webhooks/test", json={"url": receiver.url("/hook")})
    assert (answer.json()["delivered"], answer.json()["error"]) == (False, "HTTP 500")
    assert len(receiver.requests) == 1
    assert await records.next_delivery_seconds() is None
    assert await records.deliveries.test(answer.json()["webhook_id"]) is None, "no row stays"


async def test_a_test_that_nobody_sends_is_504_and_leaves_nothing(
    lonely: httpx.AsyncClient, records: Records, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_webhook, "WAIT_S", 0.2)
    answer = await lonely.post("/webhooks/test", json={"url": receiver.url("/hook")})
    assert code_of(answer) == (504, "not_tried_yet")
    assert await records.claim_deliveries(10, 60) == []


async def test_a_receiver_that_hangs_is_told_as_one(
    lonely: httpx.AsyncClient, records: Records, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_webhook, "WAIT_S", 1.0)
    asking = asyncio.create_task(lonely.post("/webhooks/test", json={"url": receiver.url("/hook")}))

    async def is_claimed() -> bool:
        return bool(await records.claim_deliveries(10, 60))

    await until(is_claimed)
    document = (await asking).json()
    assert (document["delivered"], document["error"]) == (False, "no answer within 1 s")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1/", "forbidden_webhook_url"),
        ("http://169.254.169.254/", "forbidden_webhook_url"),
        ("http://localhost:9/", "forbidden_webhook_url"),
        ("ftp://a.example/", "invalid_webhook_url"),
        ("http://u:p@a.example/", "invalid_webhook_url"),
        ("", "invalid_webhook_url"),
        ("nonsense", "invalid_webhook_url"),
    ],
)
async def test_a_url_that_must_not_be_called_is_refused_at_once(
    make_app: MakeApp, connect: Connect, records: Records, url: str, code: str
) -> None:
    async with connect(make_app(records=records)) as client:
        assert code_of(await client.post("/webhooks/test", json={"url": url})) == (422, code)
    assert await records.claim_deliveries(10, 60) == []


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        (b"{", "application/json", (422, "invalid_body")),
        (b"[]", "application/json", (422, "invalid_body")),
        (b'{"url": 1}', "application/json", (422, "invalid_body")),
        (b'{"url": "http://a/", "more": "x"}', "application/json", (422, "invalid_body")),
        (b"{}", "application/json", (422, "invalid_body")),
        (b"\xff", "application/json", (422, "invalid_body")),
        (b"[" * 10_000, "application/json", (422, "invalid_body")),
        (b"{}", "text/plain", (415, "unsupported_media_type")),
        (b" " * 17_000, "application/json", (413, "too_large")),
    ],
)
async def test_another_body_is_refused(
    lonely: httpx.AsyncClient, content: bytes, kind: str, expected: tuple[int, str]
) -> None:
    answer = await lonely.post("/webhooks/test", content=content, headers={"content-type": kind})
    assert code_of(answer) == expected


async def test_a_caller_has_one_test_at_a_time(
    make_app: MakeApp,
    connect: Connect,
    records: Records,
    tmp_path: Path,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trial_webhook, "WAIT_S", 2.0)
    shop, rival = tokens.make(), tokens.make()
    file = tmp_path / "tokens"
    file.write_text(f"{tokens.entry_of('shop', shop)}\n{tokens.entry_of('rival', rival)}\n")
    app = make_app(records=records, policy=LOOPBACK, api_tokens_file=file)
    async with connect(app) as client:

        async def ask(token: str) -> httpx.Response:
            headers = {"authorization": f"Bearer {token}"}
            return await client.post("/webhooks/test", json={"url": receiver.url("/")}, headers=headers)

        first = asyncio.create_task(ask(shop))

        async def is_waiting() -> bool:
            return await records.next_delivery_seconds() is not None

        await until(is_waiting)
        second = await ask(shop)
        assert code_of(second) == (429, "test_running")
        assert int(second.headers["retry-after"]) > 0
        others = asyncio.create_task(ask(rival))
        assert code_of(await first) == code_of(await others) == (504, "not_tried_yet")
        assert code_of(await ask(shop)) == (504, "not_tried_yet"), "there is room again"


async def test_tests_that_nobody_waits_for_are_forgotten(records: Records, database_url: str) -> None:
    await records.deliveries.add_test("msg_test_old", "http://hook.example/", "{}")
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE webhook_deliveries SET created_at = now() - interval '1 hour'")
    await connection.close()
    await records.deliveries.add_test("msg_test_new", "http://hook.example/", "{}")
    assert await records.deliveries.test("msg_test_old") is None
    await records.deliveries.forget_tests()
    assert await records.deliveries.test("msg_test_new") is not None
    await records.deliveries.remove_test("msg_test_new")


async def test_a_test_and_a_redelivery_by_the_same_id_are_done_once(records: Records) -> None:
    deliveries, url = records.deliveries, "http://hook.example/"
    assert [await deliveries.add_test("msg_test_a", url, "{}") for _ in range(2)] == [True, False]
    await finished(records, url)
    states = []
    for asked in ("msg_redelivery_a", "msg_redelivery_a", "msg_redelivery_b"):
        await records.settle_delivery(webhook.webhook_id("r1", 1), delivered=True)
        await deliveries.redeliver_once("r1", asked)
        states += [each.state for each in await deliveries.of("r1")]
    assert states == ["pending", "delivered", "pending"]
    assert {each.is_test for each in await records.claim_deliveries(9, 60)} == {True, False}
    await deliveries.remove_test("msg_test_a")
