"""The OpenAPI 3.1 description of the API. Tests hold every answer they get against it."""

from importlib.metadata import version

from imagebatch_api import dry_run, fields, openapi_batches, schemas
from imagebatch_api.form import CSV_TYPES, FILE_FIELD, MULTIPART
from imagebatch_api.idempotency import MAX_KEY_CHARS
from imagebatch_api.middleware import OPEN_PATHS, PROBES
from imagebatch_api.openapi_parts import (
    REQUEST_ID,
    Json,
    content_answer,
    json_answer,
    operation,
    problem_answers,
)
from imagebatch_api.private_file import MEDIA_TYPE as CSV_TYPE
from imagebatch_api.problems import MEDIA_TYPE as PROBLEM_TYPE
from imagebatch_api.schema_parts import reference
from imagebatch_api.settings import ApiSettings

IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes a repeated upload safe: the same key with the same upload is one batch.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": MAX_KEY_CHARS,
        "pattern": "^[!-~]([ -~]*[!-~])?$",
    },
}
DRY_RUN: Json = {
    "name": dry_run.PARAMETER,
    "in": "query",
    "required": False,
    "description": "Check the upload, and keep nothing of it.",
    "schema": {"type": "boolean", "default": False},
}
PROBLEMS = {
    400: "The form is malformed, or the Idempotency-Key is not usable.",
    401: "There is no token with the request, or it is none of this server's.",
    403: "The Host or the Origin is not allowed.",
    404: "There is no such thing.",
    405: "The path does not take this method.",
    408: "The body stalled.",
    409: "The state of the batch, or another upload, does not allow this now; `code` says why.",
    410: "It was removed, for its days were over.",
    413: "The body is too large.",
    415: "The body is not of a type that is taken here.",
    422: "The CSV, an option, a parameter or a URL is not usable; nothing was stored.",
    429: "Too many of these run.",
    431: "URL and headers are too long.",
    500: "An error that nobody expected.",
    504: "Nobody has sent the test yet.",
    503: "S3 or the database does not answer; try again later.",
}
WITH_RETRY_AFTER = {409, 429, 503}
TOKEN: Json = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token that `imagebatch token NAME` made, where the server asks for one.",
}


def document(settings: ApiSettings) -> Json:
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ImageBatch",
            "version": version("imagebatch-api"),
            "summary": "Compress a shop's product images: CSV in, images on S3, CSV out.",
            "description": "All errors are application/problem+json with a list of what is wrong.",
        },
        "servers": [{"url": settings.public_url or "/"}],
        "security": [{"token": []}] if settings.api_tokens_file is not None else [],
        "paths": {
            path: {method: _guarded(path, operation) for method, operation in methods.items()}
            for path, methods in _paths().items()
        },
        "components": {
            "schemas": schemas.ALL,
            "responses": _problem_responses(),
            "securitySchemes": {"token": TOKEN},
        },
    }


def _guarded(path: str, operation: Json) -> Json:
    """The operation with the answers that the middleware adds, and without a token where the path is open."""
    problems = {500, 431}
    if path not in PROBES:
        problems.add(403)
    if path not in OPEN_PATHS:
        problems.add(401)
    found = {**operation["responses"], **problem_answers(problems)}
    open_to_all: Json = {"security": []} if path in OPEN_PATHS else {}
    return {**operation, "responses": dict(sorted(found.items())), **open_to_all}


def _paths() -> Json:
    return {
        "/": {"get": operation("index", "A page to upload a CSV with", content_answer(200, "text/html"))},
        "/upload": {"post": _upload()},
        "/status/{request_id}": {"get": _status()},
        "/batches/{request_id}/errors.csv": {"get": _errors_csv()},
        "/batches/{request_id}/report.csv": {"get": _report_csv()},
        **openapi_batches.paths(),
        "/healthz": {"get": operation("healthz", "Whether the process is alive", json_answer(200, "Health"))},
        "/readyz": {
            "get": operation("readyz", "Whether uploads can be taken", json_answer(200, "Health"), [503])
        },
        "/metrics": {"get": operation("metrics", "Prometheus metrics", content_answer(200, "text/plain"))},
        "/openapi.json": {"get": operation("openapi", "This description", json_answer(200, "AnyObject"))},
    }


def _upload() -> Json:
    checked = json_answer(200, "Checked", "With `dry_run`: it was checked, and nothing was kept.")
    accepted = json_answer(202, "Accepted", "Taken in; it will be run.")
    accepted["202"]["headers"] = {
        "Location": {
            "description": "The path of the status.",
            "required": True,
            "schema": {"type": "string"},
        }
    }
    accepted["202"]["links"] = {
        name: {"operationId": name, "parameters": {"request_id": "$response.body#/request_id"}}
        for name in ("status", "errors_csv", "report_csv", *openapi_batches.FOLLOW_AN_UPLOAD)
    }
    return {
        **operation(
            "upload", "Upload a CSV", {**checked, **accepted}, [400, 408, 409, 413, 415, 422, 429, 503]
        ),
        "description": (
            "Fields may come in any order, but `encoding`, `columns`, `preset`, `inPlace` and `rowsPerShard` "
            "come before the file, or in the query. With a bare CSV body all fields are in the query."
        ),
        "parameters": [IDEMPOTENCY_KEY, DRY_RUN, *(_query(name) for name in fields.NAMES)],
        "requestBody": {
            "required": True,
            "content": {
                MULTIPART: {
                    "schema": reference("Upload"),
                    "encoding": {FILE_FIELD: {"contentType": ", ".join(sorted(CSV_TYPES))}},
                },
                **{name: {"schema": {"type": "string"}} for name in sorted(CSV_TYPES)},
            },
        },
    }


def _query(name: str) -> Json:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "allowEmptyValue": True,
        "schema": schemas.FIELDS[name],
    }


def _status() -> Json:
    return {
        **operation("status", "How a batch stands", json_answer(200, "Status"), [404, 503]),
        "parameters": [REQUEST_ID],
    }


def _errors_csv() -> Json:
    return {
        **operation("errors_csv", "The failed images", content_answer(200, CSV_TYPE), [404, 410, 503]),
        "description": "The input's columns with the failed links only, and why; can be uploaded as a retry.",
        "parameters": [REQUEST_ID],
    }


def _report_csv() -> Json:
    return {
        **operation(
            "report_csv", "What became of each image", content_answer(200, CSV_TYPE), [404, 410, 503]
        ),
        "description": "One record an image: its links, sizes, formats and qualities, or why it failed.",
        "parameters": [REQUEST_ID],
    }


def _problem_responses() -> Json:
    return {f"Problem{status}": _problem(status, text) for status, text in PROBLEMS.items()}


def _problem(status: int, description: str) -> Json:
    found: Json = {
        "description": description,
        "content": {PROBLEM_TYPE: {"schema": reference("Problem")}},
    }
    if status == 401:
        found["headers"] = {
            "WWW-Authenticate": {
                "description": "What to send: a bearer token (RFC 6750).",
                "required": True,
                "schema": {"type": "string"},
            }
        }
    if status in WITH_RETRY_AFTER:
        found["headers"] = {
            "Retry-After": {
                "description": "Seconds to wait.",
                "required": status != 409,
                "schema": {"type": "integer"},
            }
        }
    return found
