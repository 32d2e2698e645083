"""Follows the deliveries of a batch's webhook, and has the last one sent again for who asks for that."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imagebatch import webhook
from imagebatch.custom_resource import REDELIVERY_REQUESTED_AT, ImageBatch
from imagebatch.records import RecordedDelivery, Records, Request
from imagebatch_operator.events import Event
from imagebatch_operator.look import Look
from imagebatch_operator.names import REDELIVERY_MANAGER
from imagebatch_operator.status_writer import StatusWriter
from imagebatch_operator.webhook_tests import NO_WEBHOOK

FIRST_LOOK_S = 1.0
LATER_LOOK_S = 30.0
NOT_ENDED = "the batch is not at its end: there is no webhook to send yet"
LOST = "the batch's webhook is not there any more: its record was lost"

RESENT = Event("WebhookResent", "The webhook is sent once more, as was asked for")


@dataclass(slots=True)
class Seen:
    """What was seen of an attempt's webhook; it can be found again. The newest delivery comes first."""

    deliveries: tuple[RecordedDelivery, ...] = ()
    due_s: float = 0.0

    @property
    def is_over(self) -> bool:
        return bool(self.deliveries) and self.deliveries[0].state != "pending"

    def saw(self, found: tuple[RecordedDelivery, ...], now_s: float) -> None:
        is_retried = bool(found) and bool(found[0].last_error)
        self.deliveries = found
        self.due_s = now_s + (LATER_LOOK_S if is_retried else FIRST_LOOK_S)

    def forget(self) -> None:
        """Have the deliveries looked at anew."""
        self.deliveries, self.due_s = (), 0.0


class Webhooks:
    """Shows deliveries in the status. `owed` wakes who sends."""

    def __init__(self, records: Records, status: StatusWriter, owed: Callable[[], None]) -> None:
        self._deliveries = records.deliveries
        self._status = status
        self._owed = owed

    async def follow(self, batch: ImageBatch, request: Request, seen: Seen) -> Look:
        """Show how the deliveries of a batch at its end stand, until the last is over."""
        if not request.webhook_url or seen.is_over:
            return Look(batch)
        now_s = time.monotonic()
        if not seen.deliveries and request.attempt == 1 and _ended_just_now(request):
            seen.saw((_committed_with_the_end(request),), now_s)
        if now_s >= seen.due_s:
            seen.saw(tuple(await self._deliveries.of(request.request_id)), now_s)
        if not seen.deliveries:
            return Look(batch)
        written = await self._status.write_webhook(batch, seen.deliveries)
        return Look(written, None if seen.is_over else seen.due_s - now_s)

    async def redeliver(self, batch: ImageBatch, request: Request, seen: Seen) -> Look:
        """Do what is newly asked for. The delivery is shown as it is then before the answer is."""
        answered = batch.status.get("webhook", {}).get("redelivery", {})
        asked = batch.asked(REDELIVERY_REQUESTED_AT, answered)
        if not asked:
            return Look(batch)
        error = _refusal(request)
        if not error:
            webhook_id = webhook.asked_id("redelivery", batch.uid, asked)
            await self._deliveries.redeliver_once(request.request_id, webhook_id)
            seen.forget()
            batch = (await self.follow(batch, request, seen)).batch
            self._owed()
            error = "" if seen.deliveries else LOST
        status, event = redelivery_status(asked, error), None if error else RESENT
        return Look(await self._status.write_answer(batch, status, REDELIVERY_MANAGER, event))


def redelivery_status(asked: str, error: str) -> dict[str, Any]:
    """The part of the status that answers; `error` is empty when it was done."""
    refused = {"error": error} if error else {}
    return {"webhook": {"redelivery": {"requestedAt": asked, **refused}}}


def _refusal(request: Request) -> str:
    if not request.webhook_url:
        return NO_WEBHOOK
    return NOT_ENDED if request.status == "pending" else ""


def _ended_just_now(request: Request) -> bool:
    """Whether its row is that of the commit, or was read right after it."""
    ended = request.finished_at
    return ended is not None and (request.read_at - ended).total_seconds() < FIRST_LOOK_S


def _committed_with_the_end(request: Request) -> RecordedDelivery:
    """The first attempt's delivery, which nobody needs to ask for at once."""
    webhook_id = webhook.webhook_id(request.request_id, request.attempt)
    return RecordedDelivery(webhook_id, request.attempt, str(request.webhook_url), "pending", 0, "", None)
