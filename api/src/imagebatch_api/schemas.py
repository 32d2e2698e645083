"""The JSON schemas of the API's documents, for its OpenAPI description."""

from typing import Any, get_args

from imagebatch import links
from imagebatch.batch.lifecycle import Desired, Phase
from imagebatch.batch.plan import DEFAULT_ROWS_PER_SHARD
from imagebatch.csv.columns import PRESETS
from imagebatch.csv.ingest import ENCODINGS
from imagebatch.options import MAX_SIDE, MAX_TARGET_BYTES, Compression, Format
from imagebatch_api.fields import NAMES, NUMBERS
from imagebatch_api.form import FILE_FIELD
from imagebatch_api.listing import MAX_LIMIT
from imagebatch_api.report_page import IMAGES as IMAGE_RULES

Json = dict[str, Any]


def reference(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Json) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _with_optional(name: str, schema: Json, properties: Json) -> Json:
    """An object that may have one property more."""
    made = _object(properties)
    return {**made, "properties": {**properties, name: schema}}


def _text(description: str, **more: object) -> Json:
    return {"type": "string", "description": description, **more}


def _count(description: str) -> Json:
    return {"type": "integer", "minimum": 0, "description": description}


def _nullable(schema: Json) -> Json:
    return {**schema, "type": [schema["type"], "null"]}


def _number(name: str, default: float | None, description: str) -> Json:
    low, high = NUMBERS[name]
    schema: Json = {"type": "integer", "minimum": low, "maximum": high, "description": description}
    return schema if default is None else {**schema, "default": default}


def _side(description: str) -> Json:
    return {"type": "integer", "minimum": 1, "maximum": MAX_SIDE, "description": description}


def _mean(description: str) -> Json:
    return {"type": "number", "minimum": 0, "maximum": 100, "description": description}


def _flag(default: object, description: str) -> Json:
    return {"type": "boolean", "default": default, "description": description}


_DEFAULT = Compression()
_PORT = "[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_HOST = "[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?"
_URL = f"^(https?://{_HOST}(:({_PORT}))?([/?#][!-~]*)?)?$"
_ROLES = r"(((serial|name)=[^,=]*,)*links=[^,=]*[^,=+\s][^,=]*)"
"""An empty field counts as not given, so the patterns let it pass."""

FIELDS: Json = {
    "webhook_url": _text(
        "Called when the batch ends. On the public internet; names that are not ASCII in Punycode.",
        pattern=_URL,
        maxLength=links.MAX_LINK_CHARS,
    ),
    "encoding": _text(
        "The file's encoding, if its bytes do not show it; before the file, or in the query.",
        enum=[*ENCODINGS, ""],
    ),
    "columns": _text(
        "Which columns hold what: `serial=Handle,name=Title,links=Image Src`; several columns of links are "
        "joined with +; before the file, or in the query.",
        pattern=f"^({_ROLES})?$",
    ),
    "preset": _text("The columns of a shop's export; before the file, or in the query.", enum=[*PRESETS, ""]),
    "inPlace": _flag(False, "Put the new links in the places of the old, too; before the file."),
    "quality": _text(
        "`50%`: that part of the source's own quality; `60`: on libjpeg's scale.",
        pattern="^((100|[1-9][0-9]?)%?)?$",
        default=_DEFAULT.quality,
    ),
    "minQuality": {
        "type": "integer",
        "minimum": 0,
        "maximum": 100,
        "default": _DEFAULT.min_quality,
        "description": "A relative quality never falls below it.",
    },
    "targetBytes": {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_TARGET_BYTES,
        "description": "A longer file gets a lower quality, though none below minQuality.",
    },
    "format": {"enum": list(get_args(Format)), "default": _DEFAULT.format, "description": "Of the results."},
    "maxWidth": _side("Pixels; images are only made smaller."),
    "maxHeight": _side("Pixels; images are only made smaller."),
    "stripMetadata": _flag(_DEFAULT.strip_metadata, "Remove EXIF and XMP, places among them."),
    "progressive": _flag(_DEFAULT.progressive, "Write progressive JPEGs."),
    "optimize": _flag(_DEFAULT.optimize, "A little smaller for twice the CPU."),
    "rowsPerShard": _number(
        "rowsPerShard",
        DEFAULT_ROWS_PER_SHARD,
        "Rows a worker takes at once; before the file, or in the query.",
    ),
    "parallelism": _number("parallelism", Desired().parallelism, "Workers at once."),
    "maxFailedPercent": _number("maxFailedPercent", 100, "More failed images than this end the batch."),
    "deadlineSeconds": _number("deadlineSeconds", None, "After this many seconds the batch ends."),
}
assert tuple(FIELDS) == NAMES

UPLOAD: Json = {
    "type": "object",
    "properties": {
        **FIELDS,
        FILE_FIELD: {
            "type": "string",
            "contentMediaType": "text/csv",
            "description": "Columns Serial Number, Product Name, Input Image Urls.",
        },
    },
    "required": [FILE_FIELD],
    "additionalProperties": False,
}

PROBLEM_ITEM = _object(
    {
        "code": _text("What is wrong; stable, so that programs can match on it."),
        "message": _text("The same for people."),
        "line": _nullable({"type": "integer", "minimum": 1, "description": "In the file, from 1."}),
    }
)

PROBLEM = _with_optional(
    "hint",
    _text("What to do about it, where there is a field or header for it."),
    {
        "type": _text("Always about:blank (RFC 9457)."),
        "title": _text("The phrase of the status."),
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": _text("What is wrong, in a sentence."),
        "errors": {"type": "array", "minItems": 1, "maxItems": 100, "items": reference("ProblemItem")},
    },
)

ACCEPTED = _object(
    {
        "request_id": _text("The id of the batch."),
        "status": {"enum": ["pending"]},
        "status_url": _text("Where the status is.", format="uri"),
        "rows": _count("Rows of the file, without blank ones."),
        "images": _count("Links in the file."),
        "warnings": {"type": "array", "items": reference("ProblemItem")},
    }
)

STATUS = _object(
    {
        "request_id": _text("The id of the batch."),
        "status": {"enum": ["pending", "complete", "failed"]},
        "output_csv": _nullable(_text("The CSV with the new links beside the old.", format="uri")),
        "error": _nullable(_text("Why the batch failed.")),
        "phase": {"enum": [phase.value for phase in Phase]},
        "message": _text("How it stands, for people."),
        "reason": _nullable(_text("Why it waits, or why it failed: one word for programs.")),
        "waiting": _nullable(_text("Why nothing moves, for people; null while it does.")),
        "progress": {"type": "number", "minimum": 0, "maximum": 1, "description": "Images done."},
        "rows": _count("Rows of the file."),
        "images": _object(
            {
                "total": _count("All."),
                "succeeded": _count("Stored."),
                "failed": _count("Not stored."),
                "skipped": _count("Not tried: the batch was cancelled, or stopped early."),
            }
        ),
        "bytes": _object({"in": _count("Downloaded."), "out": _count("Stored.")}),
        "failures": {
            "type": "object",
            "additionalProperties": _count("Images."),
            "description": "Failed images by error code.",
        },
        "quality": _nullable(
            _object(
                {
                    "exact": _count("Images whose source's quality is known exactly."),
                    "approximate": _count("Images with the quality of the nearest tables."),
                    "assumed": _count("Images whose source does not show its quality."),
                    "kept": _count("Images stored with their own picture."),
                    "encoded": _count("Images encoded with a quality."),
                    "requantised": _count("JPEGs among them that were not decoded to pixels."),
                    "source_mean": _nullable(_mean("Of the sources' qualities.")),
                    "encoded_mean": _nullable(_mean("Of the qualities encoded with.")),
                }
            )
        ),
        "errors_csv": _nullable(_text("The failed images, where there are any.", format="uri")),
        "report_csv": _nullable(_text("What became of each image, once all ended.", format="uri")),
        "created_at": _text("RFC 3339, UTC.", format="date-time"),
        "finished_at": _nullable(_text("RFC 3339, UTC.", format="date-time")),
    }
)

BATCHES = _object(
    {
        "batches": {"type": "array", "maxItems": MAX_LIMIT, "items": reference("Status")},
        "next_after": _nullable(_text("What `after` is for the next page; null on the last.")),
    }
)

_SIZE = _nullable(_count("Null where it is not known."))
IMAGE = _object(
    {
        "row": {"type": "integer", "minimum": 1, "description": "The row, from 1, without blank ones."},
        "slot": {"type": "integer", "minimum": 1, "description": "The link among those of its row, from 1."},
        "serial_number": _text("As in the file."),
        "product_name": _text("As in the file."),
        "input_url": _text("The link, as in the file."),
        "output_url": _nullable(_text("Where the image is; null when it failed.")),
        "error_code": _nullable(_text("Why it failed: a code of docs/errors.md.")),
        "error": _nullable(_text("The same for people.")),
        "source_format": _nullable(_text("Before.")),
        "format": _nullable(_text("After.")),
        **dict.fromkeys(("width", "height", "bytes_in", "bytes_out", "source_quality"), _SIZE),
        "quality_basis": _nullable(_text("exact, approximate or assumed: how the source's is known.")),
        "quality": _SIZE,
        "notes": {"type": "array", "items": _text("A word of docs/formats.md or docs/csv.md.")},
    }
)

IMAGES = _object(
    {
        "images": {"type": "array", "maxItems": IMAGE_RULES.max_limit, "items": reference("Image")},
        "next_after": _nullable(_text("What `after` is for the next page; null on the last.")),
    }
)

DELIVERY = _object(
    {
        "webhook_id": _text("The same at every try."),
        "attempt": {"type": "integer", "minimum": 1, "description": "The batch's attempt."},
        "url": _text("Where it goes."),
        "state": {"enum": ["pending", "delivered", "failed"]},
        "tries": _count("Since it was put into the outbox, the first time or again."),
        "last_error": _nullable(_text("Why the last try failed.")),
        "next_try_at": _nullable(_text("RFC 3339, UTC; null when there will be none.", format="date-time")),
    }
)

WEBHOOK_TEST = _object(
    {
        "webhook_id": _text("Of the test."),
        "delivered": {"type": "boolean", "description": "Whether the receiver took it."},
        "error": _nullable(_text("Why not.")),
    }
)

ALL: Json = {
    "Upload": UPLOAD,
    "Accepted": ACCEPTED,
    "Status": STATUS,
    "Batches": BATCHES,
    "Image": IMAGE,
    "Images": IMAGES,
    "Delivery": DELIVERY,
    "Deliveries": _object({"deliveries": {"type": "array", "items": reference("Delivery")}}),
    "WebhookUrl": _object({"url": {**FIELDS["webhook_url"], "minLength": 1}}),
    "WebhookTest": WEBHOOK_TEST,
    "Problem": PROBLEM,
    "ProblemItem": PROBLEM_ITEM,
    "Health": _object({"status": {"enum": ["ok", "ready"]}}),
    "AnyObject": {"type": "object"},
}
