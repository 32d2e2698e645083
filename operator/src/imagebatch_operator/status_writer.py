"""Writes the status of an object: how its batch stands, and its webhook; and posts the Events of a change."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from imagebatch.batch.executor import ShardCounts
from imagebatch.custom_resource import ImageBatch
from imagebatch.records import DeliveryState, Request
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
)


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

    def __init__(self, kube: Kube, links: PublicLinks, count_end: Callable[[Request], None]) -> None:
        self._kube = kube
        self._links = links
        self._count_end = count_end
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

    async def write_end(self, batch: ImageBatch, request: Request, shards: ShardCounts | None) -> ImageBatch:
        """Write the status of a finished batch, if it does not say so yet, and count its end."""
        written = await self.write(batch, request, shards)
        if not batch.is_shown_finished:
            self._count_end(request)
        return written

    async def write_webhook(self, batch: ImageBatch, delivery: DeliveryState) -> None:
        """Show how the webhook's delivery stands."""
        status = webhook_status(batch, delivery)
        old = batch.condition("WebhookDelivered"), batch.status.get("webhook")
        if old != (status["conditions"][0], status["webhook"]):
            await self._kube.apply_status(batch.body, status, WEBHOOK_MANAGER)
            if delivery.state != "pending":
                await post(self._kube, batch, _webhook_event(delivery))


def webhook_status(batch: ImageBatch, delivery: DeliveryState) -> dict[str, Any]:
    holds = {"pending": None, "delivered": True, "failed": False}[delivery.state]
    reason = {"pending": "Retrying" if delivery.last_error else "Sending", "delivered": "Delivered"}
    message = "" if holds else delivery.last_error
    wanted = Condition("WebhookDelivered", holds, reason.get(delivery.state, "GivenUp"), message)
    found = condition(batch, wanted, datetime.now(UTC))
    webhook = {"state": delivery.state, "tries": delivery.tries, "lastError": delivery.last_error[:500]}
    return {"conditions": [found], "webhook": {name: value for name, value in webhook.items() if value != ""}}


def _webhook_event(delivery: DeliveryState) -> Event:
    if delivery.state == "delivered":
        return Event("WebhookDelivered", f"The webhook was delivered at try {delivery.tries}")
    return Event("WebhookFailed", f"The webhook was given up: {delivery.last_error}", is_warning=True)
