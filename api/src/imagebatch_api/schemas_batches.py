"""The JSON schemas of what is under /batches and /webhooks, and of a dry run."""

from imagebatch_api import listing
from imagebatch_api.schema_parts import Json, count, nullable, object_of, reference, text

CHECKED = object_of(
    {
        "rows": count("Rows of the file, without blank ones."),
        "images": count("Links in the file."),
        "hosts": {
            "type": "array",
            "maxItems": 100,
            "items": object_of({"host": text("Its name."), "images": count("Links to it.")}),
            "description": "Those with the most links.",
        },
        "warnings": {"type": "array", "items": reference("ProblemItem")},
        "columns": object_of(
            {
                "serial": nullable(text("The header of the serial numbers; null where none has them.")),
                "name": nullable(text("The header of the names; null where none has them.")),
                "links": {"type": "array", "items": text("A header of links.")},
            }
        ),
    }
)

BATCHES = object_of(
    {
        "batches": {"type": "array", "maxItems": listing.MAX_LIMIT, "items": reference("Status")},
        "next_after": nullable(text("What `after` is for the next page; null on the last.")),
    }
)

_SIZE = nullable(count("Null where it is not known."))
IMAGE = object_of(
    {
        "row": {"type": "integer", "minimum": 1, "description": "The row, from 1, without blank ones."},
        "slot": {"type": "integer", "minimum": 1, "description": "The link among those of its row, from 1."},
        "serial_number": text("As in the file."),
        "product_name": text("As in the file."),
        "input_url": text("The link, as in the file."),
        "output_url": nullable(text("Where the image is; null when it failed.")),
        "error_code": nullable(text("Why it failed: a code of docs/errors.md.")),
        "error": nullable(text("The same for people.")),
        "source_format": nullable(text("Of the downloaded image.")),
        "format": nullable(text("Of the stored image.")),
        **dict.fromkeys(("width", "height", "bytes_in", "bytes_out", "source_quality"), _SIZE),
        "quality_basis": nullable(text("exact, approximate or assumed: how the source's is known.")),
        "quality": _SIZE,
        "notes": {"type": "array", "items": text("A word of docs/formats.md or docs/csv.md.")},
    }
)

IMAGES = object_of(
    {
        "images": {"type": "array", "maxItems": listing.IMAGES.max_limit, "items": reference("Image")},
        "next_after": nullable(text("What `after` is for the next page; null on the last.")),
    }
)

DELIVERY = object_of(
    {
        "webhook_id": text("The same at every try."),
        "attempt": {"type": "integer", "minimum": 1, "description": "The batch's attempt."},
        "url": text("Where it goes."),
        "state": {"enum": ["pending", "delivered", "failed"]},
        "tries": count("Since it was put into the outbox, the first time or again."),
        "last_error": nullable(text("Why the last try failed.")),
        "next_try_at": nullable(text("RFC 3339, UTC; null when there will be none.", format="date-time")),
    }
)

WEBHOOK_TEST = object_of(
    {
        "webhook_id": text("Of the test."),
        "delivered": {"type": "boolean", "description": "Whether the receiver took it."},
        "error": nullable(text("Why not.")),
    }
)

ALL: Json = {
    "Checked": CHECKED,
    "Batches": BATCHES,
    "Image": IMAGE,
    "Images": IMAGES,
    "Delivery": DELIVERY,
    "Deliveries": object_of({"deliveries": {"type": "array", "items": reference("Delivery")}}),
    "WebhookTest": WEBHOOK_TEST,
}
