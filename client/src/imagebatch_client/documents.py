"""What the API's documents say, as frozen dataclasses. Each keeps the document that it was read from.

A document of a newer server may say more than is read here. The readers raise KeyError, TypeError,
ValueError or AttributeError for what is no such document; `calls` makes one error of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

Json = Mapping[str, Any]
Status = Literal["pending", "complete", "failed"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong, or worth a warning. `line` counts from 1 in the file, None without a line."""

    code: str
    message: str
    line: int | None = None
    hint: str | None = None

    def __str__(self) -> str:
        return self.message if self.line is None else f"line {self.line}: {self.message}"

    @classmethod
    def read(cls, document: Json) -> "Issue":
        return cls(
            str(document["code"]), str(document["message"]), document.get("line"), document.get("hint")
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """An error of the API (RFC 9457), with the first things that are wrong."""

    status: int
    title: str
    detail: str = ""
    errors: tuple[Issue, ...] = ()

    @property
    def code(self) -> str:
        return self.errors[0].code if self.errors else ""

    @classmethod
    def read(cls, document: Json, status: int) -> "Problem":
        errors = tuple(Issue.read(found) for found in document.get("errors", ()))
        return cls(status, str(document["title"]), str(document.get("detail") or ""), errors)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many images; `skipped` ones were not tried, because the batch ended before."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def done(self) -> int:
        """Those that were tried."""
        return self.succeeded + self.failed


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of the stored images, before and after."""

    before: int = 0
    after: int = 0

    @property
    def saved(self) -> int:
        return self.before - self.after


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """How a batch stands: the status document of the API."""

    id: str
    status: Status
    phase: str
    message: str = ""
    reason: str | None = None
    waiting: str | None = None
    error: str | None = None
    progress: float = 0.0
    rows: int = 0
    images: Counts = Counts()
    bytes: Sizes = Sizes()
    failures: Mapping[str, int] = field(default_factory=dict)
    quality: Json | None = None
    output_csv: str | None = None
    errors_csv: str | None = None
    report_csv: str | None = None
    removed: Mapping[str, str | None] = field(default_factory=dict)
    created_at: datetime | None = None
    finished_at: datetime | None = None
    document: Json = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_finished(self) -> bool:
        """Whether it has come to its end, whatever that is."""
        return self.status != "pending"

    @property
    def is_complete(self) -> bool:
        return self.status == "complete"

    @classmethod
    def read(cls, document: Json) -> "Batch":
        images, size = document.get("images", {}), document.get("bytes", {})
        return cls(
            id=str(document["request_id"]),
            status=document["status"],
            phase=str(document["phase"]),
            message=document.get("message") or "",
            reason=document.get("reason"),
            waiting=document.get("waiting"),
            error=document.get("error"),
            progress=document.get("progress", 0.0),
            rows=document.get("rows", 0),
            images=Counts(**{name: images.get(name, 0) for name in Counts.__slots__}),
            bytes=Sizes(size.get("in", 0), size.get("out", 0)),
            failures=dict(document.get("failures", {})),
            quality=document.get("quality"),
            output_csv=document.get("output_csv"),
            errors_csv=document.get("errors_csv"),
            report_csv=document.get("report_csv"),
            removed=dict(document.get("removed") or {}),
            created_at=_moment(document.get("created_at")),
            finished_at=_moment(document.get("finished_at")),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An upload that was taken in: it will be run."""

    id: str
    status_url: str
    rows: int
    images: int
    warnings: tuple[Issue, ...] = ()
    document: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, document: Json) -> "Accepted":
        return cls(
            id=str(document["request_id"]),
            status_url=str(document["status_url"]),
            rows=document["rows"],
            images=document["images"],
            warnings=tuple(Issue.read(found) for found in document["warnings"]),
            document=document,
        )


@dataclass(frozen=True, slots=True)
class Host:
    """A host that a file's links name, and how many images it is to give."""

    host: str
    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A file that would be taken in. `hosts` are the 100 with most images."""

    rows: int
    images: int
    hosts: tuple[Host, ...] = ()
    warnings: tuple[Issue, ...] = ()
    columns: Json | None = None
    document: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, document: Json) -> "Checked":
        return cls(
            rows=document["rows"],
            images=document["images"],
            hosts=tuple(Host(str(found["host"]), found["images"]) for found in document.get("hosts", ())),
            warnings=tuple(Issue.read(found) for found in document["warnings"]),
            columns=document.get("columns"),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What became of one image: a line of the report. Numbers are None where they are not known."""

    row: int
    slot: int
    serial_number: str
    product_name: str
    input_url: str
    output_url: str | None = None
    error_code: str | None = None
    error: str | None = None
    source_format: str | None = None
    format: str | None = None
    width: int | None = None
    height: int | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    source_quality: int | None = None
    quality_basis: str | None = None
    quality: int | None = None
    notes: tuple[str, ...] = ()
    document: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, document: Json) -> "Image":
        known = [name for name in cls.__slots__ if name not in {"notes", "document"} and name in document]
        values = {name: document[name] for name in known}
        return cls(**values, notes=tuple(document.get("notes") or ()), document=document)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The webhook of one attempt, and how its delivery stands."""

    webhook_id: str
    attempt: int
    url: str
    state: Literal["pending", "delivered", "failed"]
    tries: int = 0
    last_error: str | None = None
    next_try_at: datetime | None = None
    document: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, document: Json) -> "Delivery":
        return cls(
            webhook_id=str(document["webhook_id"]),
            attempt=document["attempt"],
            url=str(document["url"]),
            state=document["state"],
            tries=document.get("tries", 0),
            last_error=document.get("last_error"),
            next_try_at=_moment(document.get("next_try_at")),
            document=document,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookTest:
    """What became of a test event."""

    webhook_id: str
    delivered: bool
    error: str | None = None
    document: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, document: Json) -> "WebhookTest":
        return cls(
            webhook_id=str(document["webhook_id"]),
            delivered=document["delivered"],
            error=document.get("error"),
            document=document,
        )


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a long list; `next_after` asks for the next part, None at the end."""

    items: tuple[T, ...]
    next_after: str | None = None
    document: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def read(cls, document: Json, name: str, item: Callable[[Json], T]) -> "Page[T]":
        return cls(tuple(item(found) for found in document[name]), document.get("next_after"), document)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
