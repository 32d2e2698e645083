"""examples/receivers: each takes what our dispatcher sends, once, and refuses what was changed on its way."""

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from imagebatch import webhook
from imagebatch.batch.lifecycle import Ending, Phase
from imagebatch.net import transport
from imagebatch.net.guard import AddressPolicy
from imagebatch.outcome import Counts
from imagebatch.records import NewRequest, RecordedDelivery, Records, Result
from imagebatch.webhook import Dispatcher
from imagebatch_testing import example_receivers, needed
from imagebatch_testing.cluster.errors import UnavailableError
from imagebatch_testing.example_receivers import ExampleReceiver
from imagebatch_testing.local import Up, imagebatch
from imagebatch_testing.receiver import Received, Receiver
from imagebatch_testing.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_c2Vjb25kIHNlY3JldCBvZiAzMiBieXRlcyBhdCBsZWFzdA=="
LOOPBACK = AddressPolicy.parse("127.0.0.0/8")
TIMEOUT = httpx.Timeout(20)
OUTPUT = "http://s3/csvfile/größe_output.csv"


@pytest.fixture(scope="module", params=example_receivers.NAMES)
def example(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ExampleReceiver]:
    """One of the four; without its language the test is skipped, in CI it fails."""
    try:
        example_receivers.command(request.param)
    except UnavailableError as error:
        needed.give_up(f"no receiver in {request.param}: {error}")
    with example_receivers.running(
        request.param, SECRET, tmp_path_factory.mktemp("receiver") / "log"
    ) as found:
        yield found


async def send(records: Records, url: str, secret: str, request_id: str = "") -> RecordedDelivery:
    """Let our dispatcher send the webhook of a batch that ends now; how that delivery stands then."""
    request_id = request_id or str(uuid.uuid4())
    await records.create(NewRequest(request_id=request_id, webhook_url=url))
    request = await records.get(request_id)
    assert request is not None
    ending = Ending(Phase.COMPLETE, "Image processing completed successfully.")
    body = webhook.body(request_id, ending, OUTPUT, Counts(total=2, succeeded=2))
    await records.finish(request, ending, Result(), body, webhook.webhook_id(request_id, 1))
    return await send_due(records, request_id, secret)


async def send_due(records: Records, request_id: str, secret: str) -> RecordedDelivery:
    async def secret_for(_: str) -> str:
        return secret

    async with transport.client(LOOPBACK, connections=4, timeout=TIMEOUT) as client:
        dispatcher = Dispatcher(records, client, secret_for)
        await dispatcher._start_due()
        await asyncio.gather(*dispatcher._sending)
    (delivery,) = await records.deliveries.of(request_id)
    return delivery


async def test_what_is_sent_is_taken_once(example: ExampleReceiver, records: Records) -> None:
    request_id = str(uuid.uuid4())
    delivery = await send(records, example.url, SECRET, request_id)
    assert (delivery.state, delivery.tries) == ("delivered", 1)
    await until(lambda: bool(example.got(delivery.webhook_id)))
    assert example.got(delivery.webhook_id) == [f"complete {OUTPUT}"]

    assert await records.deliveries.redeliver(request_id) is not None
    again = await send_due(records, request_id, SECRET)
    assert (again.webhook_id, again.state) == (delivery.webhook_id, "delivered")
    last = await send(records, example.url, SECRET)
    await until(lambda: bool(example.got(last.webhook_id)))
    assert len(example.got(delivery.webhook_id)) == 1


async def test_a_batch_without_output_is_taken(example: ExampleReceiver, records: Records) -> None:
    message_id = webhook.test_id()
    assert await records.deliveries.add_test(message_id, example.url, webhook.test_body(message_id))
    async with dispatching(records, SECRET):
        await until(lambda: bool(example.got(message_id)))
    (line,) = example.got(message_id)
    assert line.split() in (["complete", "null"], ["complete", "None"])


@asynccontextmanager
async def dispatching(records: Records, secret: str) -> AsyncIterator[None]:
    """Our dispatcher runs meanwhile."""

    async def secret_for(_: str) -> str:
        return secret

    async with transport.client(LOOPBACK, connections=4, timeout=TIMEOUT) as client:
        task = asyncio.create_task(Dispatcher(records, client, secret_for).run())
        yield
        task.cancel()


@pytest.mark.parametrize(
    "secret", [f"{OLD_SECRET} {SECRET}", f"{SECRET} {OLD_SECRET}"], ids=["last", "first"]
)
async def test_one_of_two_secrets_is_enough(example: ExampleReceiver, records: Records, secret: str) -> None:
    delivery = await send(records, example.url, secret)
    assert delivery.state == "delivered"
    await until(lambda: bool(example.got(delivery.webhook_id)))


@pytest.mark.parametrize("secret", [OLD_SECRET, ""], ids=["another", "none"])
async def test_another_secret_or_none_is_refused_and_tried_again(
    example: ExampleReceiver, records: Records, secret: str
) -> None:
    delivery = await send(records, example.url, secret)
    assert (delivery.state, delivery.last_error) == ("pending", "HTTP 401")
    assert example.got(delivery.webhook_id) == []


def with_header(name: str, value: str | None) -> Any:
    """Changes a message: another header, or none."""

    def change(sent: Received) -> Received:
        headers = {found: kept for found, kept in sent.headers.items() if found != name}
        return replace(sent, headers=headers | ({} if value is None else {name: value}))

    return change


def with_signature(made: Any) -> Any:
    """Changes a message: its signature through `made`."""
    return lambda sent: with_header("webhook-signature", made(sent.headers["webhook-signature"]))(sent)


CHANGES: dict[str, Any] = {
    "body": lambda sent: replace(sent, body=sent.body.replace(b"complete", b"failed", 1)),
    "body is longer": lambda sent: replace(sent, body=sent.body + b" "),
    "no body": lambda sent: replace(sent, body=b""),
    "id": with_header("webhook-id", "msg_another"),
    "no id": with_header("webhook-id", None),
    "timestamp": lambda sent: with_header(
        "webhook-timestamp", str(int(sent.headers["webhook-timestamp"]) + 1)
    )(sent),
    "no timestamp": with_header("webhook-timestamp", None),
    "no number": with_header("webhook-timestamp", "nan"),
    "a huge number": with_header("webhook-timestamp", "9" * 5000),
    "no signature": with_header("webhook-signature", None),
    "an empty signature": with_header("webhook-signature", ""),
    "a cut signature": with_signature(lambda signature: signature[:-4]),
    "another version": with_signature(lambda signature: signature.replace("v1,", "v1a,")),
    "no base64": with_header("webhook-signature", "v1,%%%"),
    "no comma": with_header("webhook-signature", "v1"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_what_was_changed_on_its_way_is_refused(
    example: ExampleReceiver, records: Records, receiver: Receiver, change: Any
) -> None:
    delivery = await send(records, receiver.url("/hook"), SECRET)
    (sent,) = receiver.requests
    assert await forward(example, change(sent)) == 401
    assert await forward(example, sent) == 204
    await until(lambda: bool(example.got(delivery.webhook_id)))
    assert example.got(delivery.webhook_id) == [f"complete {OUTPUT}"]


async def forward(example: ExampleReceiver, message: Received) -> int:
    kept = {name: value for name, value in message.headers.items() if name.startswith("webhook-")}
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.post(example.url, content=message.body, headers=kept)).status_code


@pytest.mark.parametrize(
    ("minutes", "answer"),
    [(-10, 401), (-4, 204), (4, 204), (10, 401)],
    ids=["old", "late", "early", "future"],
)
async def test_a_message_of_another_time_is_refused(
    example: ExampleReceiver, minutes: int, answer: int
) -> None:
    """The sender's clock stands wrong, or somebody sends again what he once saw."""
    message_id = webhook.test_id()
    body = webhook.test_body(message_id)
    headers = webhook._headers(body, message_id, SECRET, datetime.now(UTC) + timedelta(minutes=minutes))
    assert await forward(example, Received("POST", "/hook", headers, body.encode())) == answer
    assert headers["webhook-timestamp"] != str(int(time.time()))


async def test_a_long_body_is_refused_by_its_length(example: ExampleReceiver) -> None:
    assert await status_for(example, b"Content-Length: 65537\r\n\r\n") == 413


async def test_a_long_body_without_a_length_is_refused(example: ExampleReceiver) -> None:
    """Those in Python take no such body at all, and say so before any of it came."""
    is_taken = not example.name.startswith("python")
    body = b"10001\r\n" + b"x" * 65537 + b"\r\n0\r\n\r\n" if is_taken else b""
    expected = 413 if is_taken else 411
    assert await status_for(example, b"Transfer-Encoding: chunked\r\n\r\n" + body) == expected


async def status_for(example: ExampleReceiver, rest: bytes) -> int:
    """What is answered to a POST that goes on with `rest`."""
    address = urlsplit(example.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        writer.write(b"POST /hook HTTP/1.1\r\nHost: receiver\r\n" + rest)
        await writer.drain()
        async with asyncio.timeout(30):
            return int((await reader.readline()).split()[1])
    finally:
        writer.close()


async def test_the_commands_that_the_page_shows_bring_a_message(tmp_path: Path) -> None:
    """The local system is the sender here, as its users start it."""
    page = (example_receivers.FOLDER / "README.md").read_text()
    start, system, submit = [
        line for line in page.splitlines() if line.startswith(("WEBHOOK_", "IMAGEBATCH_", ".venv"))
    ]
    assert start.split()[1:] == ["python", "examples/receivers/python/standard_library.py"]
    named = dict(re.findall(r"(IMAGEBATCH_\w+)=(\S+)", system))
    with example_receivers.running("python", SECRET, tmp_path / "log") as example:
        port = str(urlsplit(example.url).port)
        assert named == {
            "IMAGEBATCH_WEBHOOK_SECRET": "whsec_…",
            "IMAGEBATCH_ALLOWED_NETWORKS": "127.0.0.1/32:9000",
        }
        given = {
            name: value.replace("whsec_…", SECRET).replace("9000", port) for name, value in named.items()
        }
        async with Up(tmp_path / "data", **given) as up:
            _, *words = submit.replace(":9000", f":{port}").split()
            ended = await imagebatch(*words, IMAGEBATCH_SERVER=f"http://127.0.0.1:{up.port}")
            assert ended.code == 0, ended.stderr
            request_id = json.loads(ended.stdout)["request_id"]
            status = await up.until_done(request_id)
            message_id = webhook.webhook_id(request_id, 1)
            await until(lambda: bool(example.got(message_id)))
    assert example.got(message_id) == [f"{status['status']} {status['output_csv']}"]
