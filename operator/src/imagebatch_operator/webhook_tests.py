"""Sends a test to a batch's webhook for who asks for one, and shows what became of it.

The test is a row of the outbox (`webhook.Dispatcher` sends it once), whose id derives from the question: a
restart, or a second operator, finds it there.
"""

from collections.abc import Callable
from typing import Any

from imagebatch import webhook, webhook_address
from imagebatch.custom_resource import WEBHOOK_TEST_REQUESTED_AT, ImageBatch
from imagebatch.errors import InputRefusedError
from imagebatch.net.guard import AddressPolicy
from imagebatch.records import DeliveryState, Records
from imagebatch_operator.events import Event
from imagebatch_operator.look import Look
from imagebatch_operator.names import TEST_MANAGER
from imagebatch_operator.status_writer import StatusWriter

LOOK_S = 0.5
"""How often a test that is being sent is looked at: for the 20 seconds of a receiver that hangs."""

NO_WEBHOOK = "the batch has no webhook"


class WebhookTests:
    """Sends tests to the webhook's own URL, signed as the webhook is. `owed` wakes who sends."""

    def __init__(
        self, records: Records, status: StatusWriter, policy: AddressPolicy, owed: Callable[[], None]
    ) -> None:
        self._deliveries = records.deliveries
        self._status = status
        self._policy = policy
        self._owed = owed

    async def keep(self, batch: ImageBatch) -> Look:
        """Have a test sent that is newly asked for; show its end."""
        asked = batch.asked(WEBHOOK_TEST_REQUESTED_AT, batch.status.get("webhook", {}).get("test", {}))
        if not asked:
            return Look(batch)
        error = self._refusal(batch.webhook_url)
        if error:
            return await self._show(batch, asked, {"delivered": False, "error": error})
        webhook_id = webhook.asked_id("test", batch.uid, asked)
        state = await self._sent(batch, webhook_id)
        if state is None or state.state == "pending":
            return Look(batch, LOOK_S)
        failed = {"error": state.last_error} if state.state != "delivered" else {}
        ended = {"id": webhook_id, "delivered": not failed, **failed}
        shown = await self._show(batch, asked, ended)
        await self._deliveries.remove_test(webhook_id)
        return shown

    def _refusal(self, url: str | None) -> str:
        """Why nothing can be sent there; empty when it can, as far as the URL shows."""
        if not url:
            return NO_WEBHOOK
        try:
            webhook_address.check_url(url, self._policy)
        except InputRefusedError as error:
            return str(error)
        return ""

    async def _sent(self, batch: ImageBatch, webhook_id: str) -> DeliveryState | None:
        body, url = webhook.test_body(webhook_id), str(batch.webhook_url)
        if await self._deliveries.add_test(webhook_id, url, body, batch.webhook_secret):
            self._owed()
        return await self._deliveries.test(webhook_id)

    async def _show(self, batch: ImageBatch, asked: str, ended: dict[str, Any]) -> Look:
        status = webhook_test_status(asked, ended)
        return Look(await self._status.write_answer(batch, status, TEST_MANAGER, _event(ended)))


def webhook_test_status(asked: str, ended: dict[str, Any]) -> dict[str, Any]:
    """The part of the status that answers."""
    return {"webhook": {"test": {"requestedAt": asked, **ended}}}


def _event(ended: dict[str, Any]) -> Event:
    if ended["delivered"]:
        return Event("WebhookTestDelivered", "A test of the webhook was delivered")
    return Event("WebhookTestFailed", f"A test of the webhook failed: {ended['error']}", is_warning=True)
