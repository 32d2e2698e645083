"""The OpenAPI description of what is under /batches, but for the files."""

from imagebatch_api import json_body, listing
from imagebatch_api.listing import IMAGES, PageRules
from imagebatch_api.openapi_parts import (
    REQUEST_ID,
    Json,
    content_answer,
    json_answer,
    nothing_answer,
    operation,
    query,
)
from imagebatch_api.schema_parts import reference

FOLLOW_AN_UPLOAD = (
    "batch",
    "images",
    "webhooks",
    "redeliver",
    "cancel",
    "suspend",
    "resume",
    "retry",
    "delete",
)
"""The operations that an upload's answer leads to."""

_VERBS = {
    "cancel": "End a batch; what is done by then is in its output CSV",
    "suspend": "Stop a batch until it is resumed; what is done stays done",
    "resume": "Let a suspended batch go on",
    "retry": "Run again what failed or was not tried, in another attempt; what succeeded is kept",
}


def paths() -> Json:
    one = "/batches/{request_id}"
    return {
        "/batches": {"get": _list()},
        one: {"get": _batch(), "delete": _delete()},
        f"{one}/events": {"get": _events()},
        f"{one}/images": {"get": _images()},
        f"{one}/webhooks": {"get": _webhooks()},
        f"{one}/webhooks/redeliver": {"post": _redeliver()},
        "/webhooks/test": {"post": _webhook_test()},
        **{f"{one}/{verb}": {"post": _verb(verb, summary)} for verb, summary in _VERBS.items()},
    }


def _list() -> Json:
    return {
        **operation("list", "The caller's batches, newest first", json_answer(200, "Batches"), [422, 503]),
        "parameters": _page_parameters(listing.BATCHES, "`next_after` of the page before."),
    }


def _page_parameters(rules: PageRules, after: str) -> list[Json]:
    limit = {"type": "integer", "minimum": 1, "maximum": rules.max_limit, "default": rules.default_limit}
    return [
        query("limit", limit),
        query("after", {"type": "string", "description": after}),
        query(rules.filter, {"enum": list(rules.choices), "description": "Only these."}),
    ]


def _batch() -> Json:
    return {
        **operation("batch", "How a batch stands, as GET /status", json_answer(200, "Status"), [404, 503]),
        "parameters": [REQUEST_ID],
    }


def _delete() -> Json:
    return {
        **operation(
            "delete", "Delete a batch and its results", nothing_answer("It is gone."), [404, 409, 503]
        ),
        "description": "It is gone at once for every reader of the API; its objects on S3 follow.",
        "parameters": [REQUEST_ID],
    }


def _events() -> Json:
    return {
        **operation(
            "events",
            "A batch's status, at once and at each change until its end",
            content_answer(200, "text/event-stream"),
            [404, 429, 503],
        ),
        "description": "Server-Sent Events `status`, at most one a second; the data is a Status.",
        "parameters": [
            REQUEST_ID,
            {
                "name": "Last-Event-ID",
                "in": "header",
                "required": False,
                "description": "The id of the last event that came: it is not repeated.",
                "schema": {"type": "string"},
            },
        ],
    }


def _images() -> Json:
    return {
        **operation("images", "What became of each image", json_answer(200, "Images"), [404, 410, 422, 503]),
        "description": "Pages of report.csv. A page may be short, or empty, and still have a next one.",
        "parameters": [
            REQUEST_ID,
            *_page_parameters(IMAGES, "`next_after` of the page before, as it came."),
        ],
    }


def _webhooks() -> Json:
    return {
        **operation(
            "webhooks", "What became of a batch's webhooks", json_answer(200, "Deliveries"), [404, 503]
        ),
        "parameters": [REQUEST_ID],
    }


def _redeliver() -> Json:
    return {
        **operation(
            "redeliver",
            "Send a batch's last webhook once more",
            json_answer(200, "Delivery"),
            [404, 409, 503],
        ),
        "parameters": [REQUEST_ID],
    }


def _webhook_test() -> Json:
    return {
        **operation(
            "webhook_test",
            "Send a test event to a receiver",
            json_answer(200, "WebhookTest"),
            [408, 413, 415, 422, 429, 503, 504],
        ),
        "description": "It is sent once; the answer waits up to 20 seconds for its result.",
        "requestBody": {
            "required": True,
            "content": {json_body.MEDIA_TYPE: {"schema": reference("WebhookUrl")}},
        },
    }


def _verb(name: str, summary: str) -> Json:
    return {
        **operation(name, summary, json_answer(200, "Status"), [404, 409, 503]),
        "parameters": [REQUEST_ID],
    }
