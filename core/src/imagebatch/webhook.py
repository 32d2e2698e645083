"""Webhooks: what they say, and the dispatcher that sends them from the outbox.

Headers and signature follow the Standard Webhooks specification 1.0 (https://www.standardwebhooks.com).
The body is fixed when a batch ends, so every try sends the same bytes under the same `webhook-id`.
The operator, or the local engine, runs one `Dispatcher`.
"""

import asyncio
import base64
import hashlib
import json
import random
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import httpx
import structlog
from standardwebhooks import Webhook

from imagebatch.batch.lifecycle import Ending
from imagebatch.errors import (
    AddressForbiddenError,
    ImageBatchError,
    RecordsError,
    SettingsError,
)
from imagebatch.net import transport
from imagebatch.outcome import Counts
from imagebatch.records import Delivery, Records

RETRY_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""How long to wait after the first, second, … failed try; when the tenth try fails, it is given up. The
schedule is the example of the specification.
"""

JITTER = 0.2
"""Of each wait, so that receivers that failed together are not all asked again at once."""
MIN_SECRET_BYTES = 24
"""The specification's minimum."""
TIMEOUT_S = 20.0
"""The specification recommends 15 to 30 seconds."""
LEASE_S = 60.0
"""Longer than one try takes, so that no other program claims a delivery that is being sent."""
CONCURRENCY = 32
IDLE_S = 30.0
TROUBLE_S = 5.0

SecretFor = Callable[[str], Awaitable[str]]
"""Finds the signing secret that a delivery's reference names, or several with space between; "" for none.

It may raise an ImageBatchError that says why there is none; the delivery is then tried again later.
"""

log = structlog.get_logger()


def body(request_id: str, ending: Ending, output_link: str | None, counts: Counts) -> str:
    """What the webhook of a finished batch says, as JSON; the same words as the status."""
    return json.dumps(
        {
            "request_id": request_id,
            "status": ending.phase.status,
            "output_csv": output_link,
            "message": ending.message,
            "error": ending.error,
            "images": counts.images(),
        },
        ensure_ascii=False,
    )


def test_body(message_id: str) -> str:
    """The body of a test event: the fields of a batch's end, though no batch ended."""
    return json.dumps(
        {
            "type": "test",
            "request_id": message_id,
            "status": "complete",
            "output_csv": None,
            "message": "This is a test: no batch has ended.",
            "error": None,
            "images": Counts().images(),
        }
    )


def test_id() -> str:
    """The id of a test, unlike that of any batch."""
    return f"msg_test_{secrets.token_hex(12)}"


def asked_id(what: str, owner: str, asked: str) -> str:
    """The id of what an object's owner asked for: derived, so that it is the same when it is asked again."""
    return f"msg_{what}_{hashlib.sha256(f'{owner}:{asked}'.encode()).hexdigest()[:24]}"


def webhook_id(request_id: str, attempt: int) -> str:
    """The id of an attempt's one delivery: derived, so that whoever finishes the batch says the same."""
    return f"msg_{hashlib.sha256(f'webhook:{request_id}:{attempt}'.encode()).hexdigest()[:27]}"


def check_secret(text: str) -> None:
    """Raise SettingsError unless each secret in `text` is usable (`whsec_` and base64); it may be empty."""
    if not text:
        return
    if not text.split() or not all(map(_is_usable, text.split())):
        raise SettingsError(
            "IMAGEBATCH_WEBHOOK_SECRET must be whsec_ and the base64 of 24 random bytes or more, such "
            "as from: echo whsec_$(openssl rand -base64 24); or two of these with a space between, while "
            "one takes the other's place"
        )


def _is_usable(secret: str) -> bool:
    try:
        return len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) >= MIN_SECRET_BYTES
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """What became of one try: `ok`, or an error; `retry_after` in seconds, `gone` when it must stop."""

    ok: bool
    error: str = ""
    retry_after: float = 0.0
    gone: bool = False


async def trigger_webhook(
    client: httpx.AsyncClient, webhook_url: str, payload: str, *, message_id: str, secret: str = ""
) -> DeliveryResult:
    """POST a payload once, signed with each of the secrets. Network errors are results, not exceptions."""
    headers = _headers(payload, message_id, secret, datetime.now(UTC))
    try:
        async with asyncio.timeout(TIMEOUT_S):
            request = client.build_request("POST", webhook_url, content=payload.encode(), headers=headers)
            response = await client.send(request, stream=True, follow_redirects=False)
            await response.aclose()
    except TimeoutError:
        return DeliveryResult(ok=False, error=f"no answer within {TIMEOUT_S:g} s")
    except (httpx.HTTPError, httpx.InvalidURL, AddressForbiddenError, OSError, UnicodeError) as error:
        return DeliveryResult(ok=False, error=f"{type(error).__name__}: {error}"[:500])
    if response.is_success:
        return DeliveryResult(ok=True)
    retry_after = transport.retry_after_seconds(response.headers, datetime.now(UTC)) or 0.0
    return DeliveryResult(False, f"HTTP {response.status_code}", retry_after, response.status_code == 410)


def _headers(payload: str, message_id: str, secret: str, now: datetime) -> dict[str, str]:
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
    }
    signatures = [Webhook(each).sign(message_id, now, payload) for each in secret.split()]
    if signatures:
        headers["webhook-signature"] = " ".join(signatures)
    return headers


def wait_seconds(tries_before: int, result: DeliveryResult, jitter: float) -> float | None:
    """How long to wait after a failed try; None to give up. `jitter` lies in [0, 1)."""
    if result.gone or tries_before >= len(RETRY_SECONDS):
        return None
    planned = RETRY_SECONDS[tries_before] * (1 + JITTER * jitter)
    return max(planned, min(result.retry_after, RETRY_SECONDS[-1]))


TryResult = Literal["delivered", "failed", "given_up"]
"""What became of a try; a failed one is followed by another."""

Tried = Callable[[Delivery, TryResult], None]


def untold(_delivery: Delivery, _result: TryResult) -> None:
    """Where nobody hears what becomes of deliveries."""


class Dispatcher:
    """Sends what is due in the outbox until cancelled. Several may run; each delivery is claimed by one.

    It looks into the outbox when woken, when something is due, and otherwise each `idle_s`, for what another
    program puts there. A receiver that hangs holds up its own delivery, and nothing that goes wrong with one
    ends the others. `tried` hears of each try once it is written down.
    """

    def __init__(
        self,
        records: Records,
        client: httpx.AsyncClient,
        secret_for: SecretFor,
        idle_s: float = IDLE_S,
        tried: Tried = untold,
    ) -> None:
        self._records = records
        self._client = client
        self._secret_for = secret_for
        self._idle_s = idle_s
        self._tried = tried
        self._woken = asyncio.Event()
        self._sending: set[asyncio.Task[bool]] = set()

    def wake(self) -> None:
        """Look into the outbox now: something was put there, or there is room again."""
        self._woken.set()

    async def run(self) -> None:
        is_due = True
        try:
            while True:
                self._woken.clear()
                wait = await self._start_due(is_due=is_due)
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._woken.wait()
                is_due = self._woken.is_set() or wait < self._idle_s
        finally:
            for task in self._sending:
                task.cancel()

    async def _start_due(self, *, is_due: bool = True) -> float:
        """Start sending what is due, as far as there is room; returns in how many seconds the next one is
        due.

        Without `is_due` it only asks for that, which is one statement.
        """
        room = CONCURRENCY - len(self._sending)
        if not room:
            return self._idle_s  # the next that is sent wakes it
        try:
            claimed = await self._records.claim_deliveries(room, LEASE_S) if is_due else []
            wait = await self._records.next_delivery_seconds()
        except RecordsError as error:
            log.warning("webhook outbox unreachable", error=str(error))
            return TROUBLE_S
        for delivery in claimed:
            task = asyncio.create_task(self._send(delivery))
            self._sending.add(task)
            task.add_done_callback(self._sent)
        return self._idle_s if wait is None else min(wait, self._idle_s)

    def _sent(self, task: asyncio.Task[bool]) -> None:
        was_full = len(self._sending) == CONCURRENCY
        self._sending.discard(task)
        is_to_be_sent_again = not task.cancelled() and task.result()
        if was_full or is_to_be_sent_again:
            self.wake()

    async def _send(self, delivery: Delivery) -> bool:
        """Send it once; whether it is to be sent again."""
        bound = log.bind(request_id=delivery.request_id, webhook_id=delivery.webhook_id)
        try:
            secret = await self._secret_for(delivery.secret)
            result = await trigger_webhook(
                self._client, delivery.url, delivery.body, message_id=delivery.webhook_id, secret=secret
            )
        except ImageBatchError as error:
            result = DeliveryResult(ok=False, error=str(error)[:500])
        except Exception as error:  # noqa: BLE001 - one receiver must not stop the others
            bound.exception("webhook failed by a defect")
            result = DeliveryResult(ok=False, error=type(error).__name__)
        try:
            return await self._settle(delivery, result, bound)
        except RecordsError as error:
            bound.warning("webhook not settled; it is sent again after its lease", error=str(error))
            return True

    async def _settle(
        self, delivery: Delivery, result: DeliveryResult, bound: "structlog.BoundLogger"
    ) -> bool:
        wait = None if delivery.is_test else wait_seconds(delivery.tries, result, random.random())  # noqa: S311
        if result.ok:
            bound.info("webhook delivered", tries=delivery.tries + 1)
            await self._records.settle_delivery(delivery.webhook_id, delivered=True)
            self._tried(delivery, "delivered")
        elif wait is None:
            bound.warning("webhook given up", error=result.error, tries=delivery.tries + 1)
            await self._records.settle_delivery(delivery.webhook_id, delivered=False, error=result.error)
            self._tried(delivery, "given_up")
        else:
            bound.info("webhook failed", error=result.error, next_try_seconds=round(wait))
            await self._records.postpone_delivery(delivery.webhook_id, wait, result.error)
            self._tried(delivery, "failed")
            return True
        return False
