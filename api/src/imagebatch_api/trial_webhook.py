"""POST /webhooks/test: a test event goes through the outbox to a receiver, and the answer waits for it.

The program that sends webhooks sends it, for on a cluster the API may call no other host. It is tried once,
and its row is removed when the answer is known, or nobody waits for it any more.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anyio
import structlog

from imagebatch import webhook, webhook_address
from imagebatch.errors import RecordsError
from imagebatch.records import DeliveryState
from imagebatch_api.problems import RefusedError
from imagebatch_api.services import Services
from imagebatch_api.upload_bounds import BUSY_RETRY_S

WAIT_S = 20.0
FIRST_LOOK_S, MAX_LOOK_S = 0.05, 1.0

log = structlog.get_logger()


class TrialWebhooks:
    """Sends tests, one at a time for each caller."""

    def __init__(self, services: Services) -> None:
        self._with = services
        self._deliveries = services.records.deliveries
        self._callers: set[str | None] = set()

    async def send(self, url: str, caller: str | None) -> dict[str, Any]:
        """Have a test sent to `url`; returns what became of it. Raises InputRefusedError, RefusedError."""
        webhook_address.check_url(url, self._with.policy)
        with self._room(caller):
            message_id = webhook.test_id()
            try:
                await self._deliveries.add_test(message_id, url, webhook.test_body(message_id))
                self._with.control.webhook_owed()
                state = await self._settled(message_id)
            finally:
                await self._remove(message_id)
        return _document(message_id, state)

    @contextmanager
    def _room(self, caller: str | None) -> Iterator[None]:
        if caller in self._callers:
            message = "a test of yours is under way; try again when it is answered"
            raise RefusedError(429, "test_running", message, retry_after_s=BUSY_RETRY_S)
        self._callers.add(caller)
        try:
            yield
        finally:
            self._callers.discard(caller)

    async def _settled(self, message_id: str) -> DeliveryState | None:
        """How the test stands when it was tried, or when its time is over."""
        end_s, look_s = asyncio.get_running_loop().time() + WAIT_S, FIRST_LOOK_S
        while True:
            state = await self._deliveries.test(message_id)
            left_s = end_s - asyncio.get_running_loop().time()
            if state is None or state.state != "pending" or left_s <= 0 or self._with.stopping.is_set():
                return state
            with suppress(TimeoutError):
                async with asyncio.timeout(min(look_s, left_s)):
                    await self._with.stopping.wait()
            look_s = min(look_s * 1.5, MAX_LOOK_S)

    async def _remove(self, message_id: str) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await self._deliveries.remove_test(message_id)
            except RecordsError as error:
                log.warning("a test is forgotten later", webhook_id=message_id, error=str(error))


def _document(message_id: str, state: DeliveryState | None) -> dict[str, Any]:
    if state is None or (state.state == "pending" and not state.tries):
        raise RefusedError(
            504, "not_tried_yet", "nobody has sent the test yet; does what sends webhooks run?"
        )
    is_delivered = state.state == "delivered"
    error = None if is_delivered else state.last_error or f"no answer within {WAIT_S:g} s"
    return {"webhook_id": message_id, "delivered": is_delivered, "error": error}
