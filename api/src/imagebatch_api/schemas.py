"""The JSON schemas of the API's documents, for its OpenAPI description."""

from typing import get_args

from imagebatch import links, webhook_address
from imagebatch.batch.lifecycle import Desired, Phase
from imagebatch.batch.plan import DEFAULT_ROWS_PER_SHARD
from imagebatch.batch.retention import MAX_DAYS
from imagebatch.csv.columns import PRESETS
from imagebatch.csv.ingest import ENCODINGS
from imagebatch.options import MAX_SIDE, MAX_TARGET_BYTES, Compression, Format
from imagebatch_api import schemas_batches
from imagebatch_api.fields import NAMES, NUMBERS
from imagebatch_api.form import FILE_FIELD
from imagebatch_api.schema_parts import Json, count, nullable, object_of, reference, text, with_optional


def _number(name: str, default: float | None, description: str) -> Json:
    low, high = NUMBERS[name]
    schema: Json = {"type": "integer", "minimum": low, "maximum": high, "description": description}
    return schema if default is None else {**schema, "default": default}


def _days(what: str) -> Json:
    text = (
        f"Days after the batch's end for which {what}. 0: for ever. Without it, the server's setting counts."
    )
    return {"type": "number", "minimum": 0, "maximum": MAX_DAYS, "description": text}


def _side(description: str) -> Json:
    return {"type": "integer", "minimum": 1, "maximum": MAX_SIDE, "description": description}


def _removed(what: str) -> Json:
    words = f"When they were removed, for their days were over: the batch {what}. RFC 3339, UTC."
    return nullable(text(words, format="date-time"))


def _mean(description: str) -> Json:
    return {"type": "number", "minimum": 0, "maximum": 100, "description": description}


def _flag(default: object, description: str) -> Json:
    return {"type": "boolean", "default": default, "description": description}


_DEFAULT = Compression()
_PORT = "[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]"
_URL = f"^(https?://{webhook_address.HOST}(:({_PORT}))?([/?#][!-~]*)?)?$"
_ROLES = r"(((serial|name)=[^,=]*,)*links=[^,=]*[^,=+\s][^,=]*)"
"""An empty field counts as not given, so the patterns let it pass."""

FIELDS: Json = {
    "webhook_url": text(
        "Called when the batch ends. It is on the public internet; names that are not ASCII are in Punycode.",
        pattern=_URL,
        maxLength=links.MAX_LINK_CHARS,
    ),
    "encoding": text(
        "The file's encoding, if its bytes do not show it; before the file, or in the query.",
        enum=[*ENCODINGS, ""],
    ),
    "columns": text(
        "Which columns hold what: `serial=Handle,name=Title,links=Image Src`; several columns of links are "
        "joined with +; before the file, or in the query.",
        pattern=f"^({_ROLES})?$",
    ),
    "preset": text("The columns of a shop's export; before the file, or in the query.", enum=[*PRESETS, ""]),
    "inPlace": _flag(
        False, "Put the new links in the places of the old, too; before the file, or in the query."
    ),
    "quality": text(
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
    "stripMetadata": _flag(
        _DEFAULT.strip_metadata, "Remove EXIF and XMP, which may hold the place of a photograph."
    ),
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
    "keepWorkingFilesDays": _days("its working files are kept; without them it can't be retried"),
    "keepOutputsDays": _days("its CSVs are kept"),
    "keepImagesDays": _days("its images are kept"),
}
assert tuple(FIELDS) == NAMES

UPLOAD: Json = {
    "type": "object",
    "properties": {
        **FIELDS,
        FILE_FIELD: {
            "type": "string",
            "contentMediaType": "text/csv",
            "description": "Columns Serial Number, Product Name, Input Image Urls, or as `columns` has it.",
        },
    },
    "required": [FILE_FIELD],
    "additionalProperties": False,
}

PROBLEM_ITEM = object_of(
    {
        "code": text("What is wrong; stable, so that programs can match on it."),
        "message": text("The same for people."),
        "line": nullable({"type": "integer", "minimum": 1, "description": "In the file, from 1."}),
    }
)

PROBLEM = with_optional(
    "hint",
    text("What to do about it, where there is a field or header for it."),
    {
        "type": text("Always about:blank (RFC 9457)."),
        "title": text("The phrase of the status."),
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": text("What is wrong, in a sentence."),
        "errors": {"type": "array", "minItems": 1, "maxItems": 100, "items": reference("ProblemItem")},
    },
)

ACCEPTED = object_of(
    {
        "request_id": text("The id of the batch."),
        "status": {"enum": ["pending"]},
        "status_url": text("Where the status is.", format="uri"),
        "rows": count("Rows of the file, without blank ones."),
        "images": count("Links in the file."),
        "warnings": {"type": "array", "items": reference("ProblemItem")},
    }
)

STATUS = object_of(
    {
        "request_id": text("The id of the batch."),
        "status": {"enum": ["pending", "complete", "failed"]},
        "output_csv": nullable(text("The CSV with the new links beside the old.", format="uri")),
        "error": nullable(text("Why the batch failed.")),
        "phase": {"enum": [phase.value for phase in Phase]},
        "message": text("How it stands, for people."),
        "reason": nullable(text("Why it waits, or why it failed: one word for programs.")),
        "waiting": nullable(text("Why nothing moves, for people; null while it does.")),
        "progress": {"type": "number", "minimum": 0, "maximum": 1, "description": "Images done."},
        "rows": count("Rows of the file."),
        "images": object_of(
            {
                "total": count("All."),
                "succeeded": count("Stored."),
                "failed": count("Not stored."),
                "skipped": count("Not tried: the batch was cancelled, or stopped early."),
            }
        ),
        "bytes": object_of({"in": count("Downloaded."), "out": count("Stored.")}),
        "failures": {
            "type": "object",
            "additionalProperties": count("Images."),
            "description": "Failed images by error code.",
        },
        "quality": nullable(
            object_of(
                {
                    "exact": count("Images whose source's quality is known exactly."),
                    "approximate": count("Images with the quality of the nearest tables."),
                    "assumed": count("Images whose source does not show its quality."),
                    "kept": count("Images stored with their own picture."),
                    "encoded": count("Images encoded with a quality."),
                    "requantised": count("JPEGs among them that were not decoded to pixels."),
                    "source_mean": nullable(_mean("Of the sources' qualities.")),
                    "encoded_mean": nullable(_mean("Of the qualities encoded with.")),
                }
            )
        ),
        "errors_csv": nullable(text("The failed images, where there are any.", format="uri")),
        "report_csv": nullable(text("What became of each image, once the batch has ended.", format="uri")),
        "removed": object_of(
            {
                "working_files": _removed("can't be retried since"),
                "outputs": _removed("has no CSVs any more"),
                "images": _removed("has no images any more, and can't be retried"),
            }
        ),
        "created_at": text("RFC 3339, UTC.", format="date-time"),
        "finished_at": nullable(text("RFC 3339, UTC.", format="date-time")),
    }
)

ALL: Json = {
    "Upload": UPLOAD,
    "Accepted": ACCEPTED,
    **schemas_batches.ALL,
    "Status": STATUS,
    "WebhookUrl": object_of({"url": {**FIELDS["webhook_url"], "minLength": 1}}),
    "Problem": PROBLEM,
    "ProblemItem": PROBLEM_ITEM,
    "Health": object_of({"status": {"enum": ["ok", "ready"]}}),
    "AnyObject": {"type": "object"},
}
