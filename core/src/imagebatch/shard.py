"""What a shard leaves on S3: its fragment, its progress and, last and once, its report.

The jobrunner writes them; merge and whoever watches the batch read them. A report is the commit marker:
without it, nothing of the shard counts. Whichever run writes it first wins, and it names its fragment.
"""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from imagebatch import keys, rows
from imagebatch.errors import AlreadyExistsError
from imagebatch.outcome import Counts, ErrorCode, ImageOutcome
from imagebatch.store import CSV, JSON, ObjectStore

VERSION = 1

FRAGMENT_COLUMNS = (
    "row", "slot", "name", "error", "message", "bytes_in", "bytes_out", "format", "width", "height",
    "source_format", "source_quality", "quality", "quality_basis", "notes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShardId:
    """Which shard of which attempt of which batch."""

    request_id: str
    attempt: int
    index: int


@dataclass(frozen=True, slots=True)
class Report:
    """A finished shard. `errors` counts the images by error code; times are seconds since the epoch."""

    run: str
    fragment: str
    rows: int
    counts: Counts
    errors: dict[str, int] = field(default_factory=dict)
    started_at: float = 0.0
    finished_at: float = 0.0

    def to_json(self) -> bytes:
        return json.dumps({"version": VERSION, **asdict(self)}, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Report":
        values: dict[str, Any] = json.loads(data)
        values.pop("version")
        return cls(**{**values, "counts": Counts(**values["counts"])})


@dataclass(frozen=True, slots=True)
class Progress:
    """A shard under way: a hint for status displays, never a marker."""

    run: str
    counts: Counts

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Progress":
        values: dict[str, Any] = json.loads(data)
        return cls(values["run"], Counts(**values["counts"]))


def fragment_bytes(outcomes: Iterable[ImageOutcome]) -> Iterator[bytes]:
    """A fragment's CSV: one line an image, in the order given."""
    yield rows.record(FRAGMENT_COLUMNS).encode()
    for outcome in outcomes:
        yield rows.record(_cell(getattr(outcome, column)) for column in FRAGMENT_COLUMNS).encode()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return " ".join(value) if isinstance(value, tuple) else str(value)


def read_fragment(chunks: Iterable[bytes]) -> Iterator[ImageOutcome]:
    """The outcomes of a fragment, in its order."""
    for values in csv.DictReader(rows.text_lines(chunks, "utf-8"), strict=True):
        yield _outcome(values)


def _outcome(values: dict[str, str]) -> ImageOutcome:
    return ImageOutcome(
        row=int(values["row"]),
        slot=int(values["slot"]),
        name=values["name"] or None,
        error=ErrorCode(values["error"]) if values["error"] else None,
        message=values["message"],
        bytes_in=int(values["bytes_in"]),
        bytes_out=int(values["bytes_out"]),
        format=values["format"],
        width=int(values["width"]),
        height=int(values["height"]),
        source_format=values["source_format"],
        source_quality=int(values["source_quality"]) if values["source_quality"] else None,
        quality=int(values["quality"]) if values["quality"] else None,
        quality_basis=values["quality_basis"] or None,  # type: ignore[arg-type]
        notes=tuple(values["notes"].split()),
    )


def commit(store: ObjectStore, shard: ShardId, report: Report) -> bool:
    """Write the report, the first time only. False when another run was first: its work stands."""
    key = keys.report(shard.request_id, shard.attempt, shard.index)
    try:
        store.put(key, report.to_json(), JSON, only_if_absent=True)
    except AlreadyExistsError:
        return False
    return True


def write_fragment(store: ObjectStore, shard: ShardId, run: str, outcomes: Iterable[ImageOutcome]) -> str:
    """Write a run's fragment and return its key."""
    key = keys.fragment(shard.request_id, shard.attempt, shard.index, run)
    store.put_stream(key, fragment_bytes(outcomes), CSV)
    return key
