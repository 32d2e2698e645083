"""Tells how a batch stands: the object's status, its Events, and the row that GET /status reads."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from imagebatch.errors import RecordsError
from imagebatch.lifecycle import Waiting
from imagebatch.records import DeliveryState, Records, Request
from imagebatch.resource import counts_of
from imagebatch_operator.batch import Batch, suspension
from imagebatch_operator.kube import Kube
from imagebatch_operator.names import STATUS_MANAGER, WEBHOOK_MANAGER
from imagebatch_operator.notices import Notice, notices, post
from imagebatch_operator.status import Condition, View, condition, is_worth_writing, status_of

FIRST_LOOK_S = 1.0
LATER_LOOK_S = 30.0


class Telling:
    """Writes what changed, and only when it is worth it."""

    def __init__(self, kube: Kube, records: Records, count_end: Callable[[Request], None]) -> None:
        self._kube = kube
        self._records = records
        self._count_end = count_end
        self._written: dict[str, float] = {}

    def forget(self, batch: Batch) -> None:
        self._written.pop(batch.uid, None)

    async def tell(self, batch: Batch, view: View, request: Request | None = None) -> Batch:
        """Write the status, its Events and, of a pending `request`, the row; returns the object then."""
        status = status_of(batch, view, datetime.now(UTC))
        now = time.monotonic()
        if not is_worth_writing(batch.status, status, now - self._written.get(batch.uid, 0.0)):
            return batch
        if request is not None:
            await self._records.progress(request, view.phase, view.message, view.counts, view.waiting)
        told = Batch(await self._kube.apply_status(batch.body, status, STATUS_MANAGER))
        self._written[batch.uid] = now
        for notice in notices(batch.status, status):
            await post(self._kube, batch, notice)
        return told

    async def tell_end(self, batch: Batch, view: View, request: Request) -> Batch:
        """Write the status of a finished batch, if it is not told yet, and count its end."""
        told = await self.tell(batch, view)
        if not batch.is_told_finished:
            self._count_end(request)
        return told

    async def waits(self, batch: Batch, request: Request | None, waiting: Waiting) -> None:
        """Say why nothing moves, and leave the rest of the status as it is told."""
        view = View(phase=batch.phase, **_kept(batch), waiting=waiting)
        if request is None or request.status == "pending":
            await self.tell(batch, view)
            await self._record_waiting(request, view)

    async def _record_waiting(self, request: Request | None, view: View) -> None:
        """For GET /status; that Postgres is away may be what it waits for."""
        if request is not None and request.waiting != view.waiting:
            with suppress(RecordsError):
                await self._records.progress(request, view.phase, view.message, view.counts, view.waiting)

    async def tell_webhook(self, batch: Batch, delivery: DeliveryState | None) -> float | None:
        """Show how the webhook's delivery stands; says when to look again."""
        if delivery is None:
            return None
        status = _webhook_status(batch, delivery)
        old = batch.condition("WebhookDelivered"), batch.status.get("webhook")
        if old != (status["conditions"][0], status["webhook"]):
            await self._kube.apply_status(batch.body, status, WEBHOOK_MANAGER)
            if delivery.state != "pending":
                await post(self._kube, batch, _webhook_notice(delivery))
        if delivery.state != "pending":
            return None
        return LATER_LOOK_S if delivery.last_error else FIRST_LOOK_S


def _kept(batch: Batch) -> dict[str, Any]:
    """The part of a view that the status tells already."""
    status, shards = batch.status, batch.status.get("shards", {})
    return {
        "message": status.get("message", ""),
        "rows": status.get("rows", 0),
        "counts": counts_of(status),
        "shards": shards.get("total"),
        "shards_done": shards.get("done", 0),
        "shards_active": shards.get("active", 0),
        "job": status.get("job", ""),
        "started": batch.moment("startTime"),
        "suspension": suspension(batch, datetime.now(UTC)),
    }


def _webhook_status(batch: Batch, delivery: DeliveryState) -> dict[str, Any]:
    holds = {"pending": None, "delivered": True, "failed": False}[delivery.state]
    reason = {"pending": "Retrying" if delivery.last_error else "Sending", "delivered": "Delivered"}
    message = "" if holds else delivery.last_error
    wanted = Condition("WebhookDelivered", holds, reason.get(delivery.state, "GivenUp"), message)
    found = condition(batch, wanted, datetime.now(UTC))
    webhook = {"state": delivery.state, "tries": delivery.tries, "lastError": delivery.last_error[:500]}
    return {"conditions": [found], "webhook": {name: value for name, value in webhook.items() if value != ""}}


def _webhook_notice(delivery: DeliveryState) -> Notice:
    if delivery.state == "delivered":
        return Notice("WebhookDelivered", f"The webhook was delivered at try {delivery.tries}")
    return Notice("WebhookFailed", f"The webhook was given up: {delivery.last_error}", is_warning=True)
