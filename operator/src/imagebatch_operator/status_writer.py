"""Writes the status of an object: how its batch stands, and its webhook; and posts the Events of a change."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from imagebatch.batch.executor import ShardCounts
from imagebatch.custom_resource import ImageBatch
from imagebatch.records import RecordedDelivery, Request
from imagebatch.storage.store import ObjectStore
from imagebatch_operator.events import Event, events, post
from imagebatch_operator.kube import Kube
from imagebatch_operator.names import STATUS_MANAGER, WEBHOOK_MANAGER
from imagebatch_operator.status import (
    NO_LINKS,
    Condition,
    ResultLinks,
    condition,
    is_worth_writing,
    status_of,
    timestamp,
)

NEWEST_FIELDS = ("state", "tries", "lastError")
ANSWERS = frozenset({"redelivery", "test"})
"""Parts of `status.webhook` that are written by themselves."""

MAX_DELIVERIES = 16
"""Of the newest attempts: the object stays small."""


@dataclass(frozen=True, slots=True)
class PublicLinks:
    """Where users find a batch's CSVs: the output by its own link, the private ones through the API."""

    store: ObjectStore
    api_url: str

    def of(self, request: Request) -> ResultLinks:
        private = f"{self.api_url}/batches/{request.request_id}"
        return ResultLinks(
            output=self.store.link(request.output_key) if request.output_key else None,
            errors=f"{private}/errors.csv" if request.errors_key else None,
            report=f"{private}/report.csv" if request.report_key else None,
        )


class StatusWriter:
    """Writes what changed, and only when it is worth it."""

    def __init__(self, kube: Kube, links: PublicLinks) -> None:
        self._kube = kube
        self._links = links
        self._written: dict[str, float] = {}

    def forget(self, batch: ImageBatch) -> None:
        self._written.pop(batch.uid, None)

    async def write(
        self, batch: ImageBatch, request: Request, shards: ShardCounts | None = None, job: str = ""
    ) -> ImageBatch:
        """Write the status and its Events; returns the object as it is afterwards."""
        links = self._links.of(request) if request.phase.is_terminal else NO_LINKS
        status = status_of(batch, request, datetime.now(UTC), links=links, shards=shards, job=job)
        now = time.monotonic()
        if not is_worth_writing(batch.status, status, now - self._written.get(batch.uid, 0.0)):
            return batch
        written = ImageBatch(await self._kube.apply_status(batch.body, status, STATUS_MANAGER))
        self._written[batch.uid] = now
        for event in events(batch.status, status):
            await post(self._kube, batch, event)
        return written

    async def write_webhook(self, batch: ImageBatch, deliveries: Sequence[RecordedDelivery]) -> ImageBatch:
        """Show how the webhook's deliveries stand, the newest first."""
        status, newest = webhook_status(batch, deliveries), deliveries[0]
        shown = batch.status.get("webhook", {})
        old = {name: value for name, value in shown.items() if name not in ANSWERS}
        if (batch.condition("WebhookDelivered"), old) == (status["conditions"][0], status["webhook"]):
            return batch
        is_told = [(each.get("id"), each["state"]) for each in shown.get("deliveries", ())[:1]]
        is_new = is_told != [(newest.webhook_id, newest.state)]
        event = _webhook_event(newest) if is_new and newest.state != "pending" else None
        return await self.write_answer(batch, status, WEBHOOK_MANAGER, event)

    async def write_answer(
        self, batch: ImageBatch, status: dict[str, Any], manager: str, event: Event | None = None
    ) -> ImageBatch:
        """Write the part of the status that `manager` owns, and post an Event of it."""
        written = ImageBatch(await self._kube.apply_status(batch.body, status, manager))
        if event is not None:
            await post(self._kube, batch, event)
        return written


def webhook_status(batch: ImageBatch, deliveries: Sequence[RecordedDelivery]) -> dict[str, Any]:
    newest = deliveries[0]
    holds = {"pending": None, "delivered": True, "failed": False}[newest.state]
    reason = {"pending": "Retrying" if newest.last_error else "Sending", "delivered": "Delivered"}
    message = "" if holds else newest.last_error
    wanted = Condition("WebhookDelivered", holds, reason.get(newest.state, "GivenUp"), message)
    shown = [_delivery(each) for each in deliveries[:MAX_DELIVERIES]]
    webhook = {name: shown[0][name] for name in NEWEST_FIELDS if name in shown[0]}
    return {
        "conditions": [condition(batch, wanted, datetime.now(UTC))],
        "webhook": {**webhook, "deliveries": shown},
    }


def _delivery(delivery: RecordedDelivery) -> dict[str, Any]:
    found = {
        "id": delivery.webhook_id,
        "attempt": delivery.attempt,
        "url": delivery.url,
        "state": delivery.state,
        "tries": delivery.tries,
        "lastError": delivery.last_error[:500] or None,
        "nextTryTime": timestamp(delivery.next_try_at),
    }
    return {name: value for name, value in found.items() if value is not None}


def _webhook_event(delivery: RecordedDelivery) -> Event:
    if delivery.state == "delivered":
        return Event("WebhookDelivered", f"The webhook was delivered at try {delivery.tries}")
    return Event("WebhookFailed", f"The webhook was given up: {delivery.last_error}", is_warning=True)
