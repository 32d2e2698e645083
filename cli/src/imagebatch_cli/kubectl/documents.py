"""What an ImageBatch object shows, as the documents that the REST API would give of it. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from imagebatch.custom_resource import ImageBatch
from imagebatch_api.status import ResultLinks, status_document
from imagebatch_client import Batch, Delivery, WebhookTest


def batch_of(body: dict[str, Any]) -> Batch:
    """How an object stands. Its id is its name here, for that is what people say to kubectl."""
    document = document_of(body)
    return replace(Batch.read(document), id=document["name"])


def document_of(body: dict[str, Any]) -> dict[str, Any]:
    """The status document, with the object's name and namespace."""
    batch = ImageBatch(body)
    if not batch.is_status_of_attempt:  # of the attempt before, which has ended: this one is not taken up yet
        batch = ImageBatch({**body, "status": {}})
    shown: Mapping[str, Any] = batch.status
    links = ResultLinks(
        output_csv=shown.get("outputCsv"),
        errors_csv=shown.get("errorsCsv"),
        report_csv=shown.get("reportCsv"),
    )
    where = {"name": batch.key.name, "namespace": batch.key.namespace}
    return {**where, **status_document(batch.request(), links)}


def deliveries_of(body: dict[str, Any]) -> list[Delivery]:
    """The webhooks of the last attempts, the newest first."""
    found = (body.get("status") or {}).get("webhook", {}).get("deliveries", ())
    return [Delivery.read(_delivery(each)) for each in found]


def _delivery(shown: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "webhook_id": shown["id"],
        "attempt": shown["attempt"],
        "url": shown["url"],
        "state": shown["state"],
        "tries": shown["tries"],
        "last_error": shown.get("lastError"),
        "next_try_at": shown.get("nextTryTime"),
    }


def webhook_test_of(answer: Mapping[str, Any]) -> WebhookTest:
    """What became of a test, by the status's `webhook.test`."""
    return WebhookTest.read(
        {"webhook_id": answer["id"], "delivered": answer["delivered"], "error": answer.get("error")}
    )
