"""The handlers of webhooks: what became of a batch's, sending one again, and sending a test."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from imagebatch.records import RecordedDelivery
from imagebatch_api import json_body
from imagebatch_api.lookup import NOT_STORED, Lookup, owner_of
from imagebatch_api.problems import RefusedError
from imagebatch_api.services import Services
from imagebatch_api.status import timestamp
from imagebatch_api.trial_webhook import TrialWebhooks


class WebhookEndpoints:
    """The handlers, over what the app works with."""

    def __init__(self, services: Services, lookup: Lookup) -> None:
        self._services = services
        self._lookup = lookup
        self._trials = TrialWebhooks(services)

    async def webhooks(self, request: Request) -> Response:
        found = await self._lookup.find(request)
        deliveries = await self._services.records.deliveries.of(found.request_id)
        return JSONResponse({"deliveries": [_document(each) for each in deliveries]}, headers=NOT_STORED)

    async def redeliver(self, request: Request) -> Response:
        found = await self._lookup.find(request)
        if found.status == "pending":
            raise RefusedError(
                409, "no_webhook", "the batch is not at its end: there is no webhook to send yet"
            )
        delivery = await self._services.records.deliveries.redeliver(found.request_id)
        if delivery is None:
            raise RefusedError(409, "no_webhook", "the batch has no webhook")
        self._services.control.webhook_owed()
        return JSONResponse(_document(delivery), headers=NOT_STORED)

    async def test(self, request: Request) -> Response:
        body = await json_body.read(request, "url")
        return JSONResponse(await self._trials.send(body["url"], owner_of(request)), headers=NOT_STORED)


def _document(delivery: RecordedDelivery) -> dict[str, Any]:
    return {
        "webhook_id": delivery.webhook_id,
        "attempt": delivery.attempt,
        "url": delivery.url,
        "state": delivery.state,
        "tries": delivery.tries,
        "last_error": delivery.last_error or None,
        "next_try_at": timestamp(delivery.next_try_at),
    }
