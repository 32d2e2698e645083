"""Every call of the API as a value: what is sent, and how the answer is read. Does no I/O."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote, urlsplit

from imagebatch_client.documents import (
    Accepted,
    Batch,
    Checked,
    Delivery,
    Image,
    Issue,
    Json,
    Page,
    Problem,
    WebhookTest,
)
from imagebatch_client.errors import (
    ApiError,
    NotFoundError,
    UnauthorizedError,
    UnexpectedAnswerError,
)

T = TypeVar("T")

BEFORE_THE_FILE = frozenset({"encoding", "rowsPerShard", "columns", "preset", "inPlace"})
"""Upload fields that the server needs while it reads the file: they go into the query."""


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and how the JSON of its answer is read. Values of None are left out of the query."""

    method: str
    path: str
    read: Callable[[Json], T]
    query: Mapping[str, str | int | None] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    json: Json | None = None

    @property
    def params(self) -> dict[str, str]:
        return {name: str(value) for name, value in self.query.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole."""

    status: int
    content: bytes
    headers: Mapping[str, str]


# -- the calls -------------------------------------------------------------------------------------------


def upload(fields: Mapping[str, str], idempotency_key: str) -> Call[Accepted]:
    """Hand in a CSV, which goes beside the call as the form's file."""
    return _upload(fields, {"Idempotency-Key": idempotency_key}, {}, Accepted.read)


def check(fields: Mapping[str, str]) -> Call[Checked]:
    """The same with nothing kept."""
    return _upload(fields, {}, {"dry_run": "true"}, Checked.read)


def _upload(
    fields: Mapping[str, str],
    headers: Mapping[str, str],
    query: Mapping[str, str],
    read: Callable[[Json], T],
) -> Call[T]:
    first = {name: value for name, value in fields.items() if name in BEFORE_THE_FILE}
    form = {name: value for name, value in fields.items() if name not in BEFORE_THE_FILE}
    return Call("POST", "/upload", read, {**query, **first}, headers, form)


def batches(
    limit: int | None = None, after: str | None = None, status: str | None = None
) -> Call[Page[Batch]]:
    query = {"limit": limit, "after": after, "status": status}
    return Call("GET", "/batches", lambda found: Page.read(found, "batches", Batch.read), query)


def batch(batch_id: str) -> Call[Batch]:
    return Call("GET", f"/status/{_segment(batch_id)}", Batch.read)


def change(batch_id: str, verb: str) -> Call[Batch]:
    """`verb` is cancel, suspend, resume or retry."""
    return Call("POST", f"{_of(batch_id)}/{verb}", Batch.read)


def delete(batch_id: str) -> Call[None]:
    return Call("DELETE", _of(batch_id), lambda _: None)


def events(batch_id: str, last_event_id: str) -> Call[None]:
    """The stream of the batch's changes; `following` reads it."""
    after = {"Last-Event-ID": last_event_id} if last_event_id else {}
    headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", **after}
    return Call("GET", f"{_of(batch_id)}/events", lambda _: None, headers=headers)


def images(
    batch_id: str, after: str | None = None, limit: int | None = None, outcome: str | None = None
) -> Call[Page[Image]]:
    query = {"after": after, "limit": limit, "outcome": outcome}
    return Call("GET", f"{_of(batch_id)}/images", lambda found: Page.read(found, "images", Image.read), query)


def deliveries(batch_id: str) -> Call[tuple[Delivery, ...]]:
    return Call(
        "GET",
        f"{_of(batch_id)}/webhooks",
        lambda found: tuple(Delivery.read(each) for each in found["deliveries"]),
    )


def redeliver(batch_id: str) -> Call[Delivery]:
    return Call("POST", f"{_of(batch_id)}/webhooks/redeliver", Delivery.read)


def test_webhook(url: str) -> Call[WebhookTest]:
    return Call("POST", "/webhooks/test", WebhookTest.read, json={"url": url})


def _of(batch_id: str) -> str:
    return f"/batches/{_segment(batch_id)}"


def _segment(text: str) -> str:
    """One segment of a path, whatever the text; `.` and `..` would lead to another path."""
    return quote(text, safe="").replace(".", "%2E") if text.strip(".") == "" else quote(text, safe="")


# -- the answers -----------------------------------------------------------------------------------------


def answered(call: Call[T], answer: Answer) -> T:
    """What the answer says. Raises ApiError, or UnexpectedAnswerError when no ImageBatch gave it."""
    if answer.status >= 300:
        raise refusal(answer)
    if answer.status == 204:
        return call.read({})
    try:
        return call.read(_document(answer))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UnexpectedAnswerError(
            f"the answer to {call.method} {call.path} can't be read ({type(error).__name__}: {error}); "
            "is this an ImageBatch server of this client's version?"
        ) from error


def refusal(answer: Answer) -> ApiError:
    """The error that an answer of 300 or more is. Raises UnexpectedAnswerError when it is no problem."""
    try:
        problem = Problem.read(_document(answer), answer.status)
    except (KeyError, TypeError, ValueError, AttributeError):
        if answer.status in PASSING:  # a proxy's
            return ApiError(_of_proxy(answer.status), retry_after(answer.headers))
        raise UnexpectedAnswerError(f"this is no ImageBatch server: HTTP {answer.status}") from None
    kind = {401: UnauthorizedError, 404: NotFoundError}.get(answer.status, ApiError)
    return kind(problem, retry_after(answer.headers))


def refusal_of_link(url: str, answer: Answer) -> ApiError | UnexpectedAnswerError:
    """The error that a link's answer is, which may come from S3 or from what stands before it."""
    try:
        return refusal(answer)
    except UnexpectedAnswerError:
        where = urlsplit(url)._replace(query="").geturl()  # a signed link opens the door for its reader
        return UnexpectedAnswerError(f"{where} answers with HTTP {answer.status}")


PASSING = frozenset({429, 500, 502, 503, 504})
"""Statuses that may pass: asking again may bring another."""


def _of_proxy(status: int) -> Problem:
    detail = f"HTTP {status}, from what stands before the server"
    return Problem(status, "Unavailable", detail, (Issue("unavailable", detail),))


def _document(answer: Answer) -> dict[str, Any]:
    found = json.loads(answer.content)
    if not isinstance(found, dict):
        raise TypeError("no JSON object")
    return found


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a Retry-After names; one with a date is not ours."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None
