"""What a shard leaves on S3: its fragment, its progress and, last and once, its report.

The jobrunner writes them; merge and whoever watches the batch read them. A report is the commit marker:
without it, nothing of the shard counts. Whichever run writes it first wins, and it names its fragment.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from imagebatch.batch.lifecycle import Waiting
from imagebatch.csv import rows
from imagebatch.errors import AlreadyExistsError, NotFoundError
from imagebatch.outcome import Counts, ErrorCode, ImageOutcome
from imagebatch.storage import keys
from imagebatch.storage.store import CSV, JSON, ShardStore

VERSION = 1
LOOK_BACK = 10
"""How many attempts back a report is looked for; cancelled ones have none. Beyond them all is done anew."""

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


STAGES = ("download", "compress", "store")
"""Of an image in a shard."""


@dataclass(frozen=True, slots=True)
class Report:
    """A finished shard. `errors` counts the images by error code; times are seconds since the epoch.
    `seconds` are sums over the images that this run stored, by stage of `STAGES`; waits are included.
    """

    run: str
    fragment: str
    rows: int
    counts: Counts
    errors: dict[str, int] = field(default_factory=dict)
    started_at: float = 0.0
    finished_at: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> bytes:
        return json.dumps({"version": VERSION, **asdict(self)}, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Report":
        values: dict[str, Any] = json.loads(data)
        values.pop("version")
        return cls(**{**values, "counts": Counts(**values["counts"])})


@dataclass(frozen=True, slots=True)
class Progress:
    """A shard under way: a hint for status displays, never a marker. `waiting` says why its puts wait;
    `errors` counts the images that failed, by error code.
    """

    run: str
    counts: Counts
    waiting: Waiting | None = None
    errors: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Progress":
        values: dict[str, Any] = json.loads(data)
        said = values.get("waiting")
        waiting, errors = Waiting(**said) if said else None, values.get("errors", {})
        return cls(values["run"], Counts(**values["counts"]), waiting, errors)


def fragment_bytes(outcomes: Iterable[ImageOutcome]) -> Iterator[bytes]:
    """A fragment's CSV: one line an image, in the order given."""
    yield rows.record(FRAGMENT_COLUMNS).encode()
    for outcome in outcomes:
        yield rows.record(cell(getattr(outcome, column)) for column in FRAGMENT_COLUMNS).encode()


def cell(value: object) -> str:
    """A fact of an outcome as text: nothing for None, notes with spaces between."""
    if value is None:
        return ""
    return " ".join(value) if isinstance(value, tuple) else str(value)


def read_fragment(chunks: Iterable[bytes]) -> Iterator[ImageOutcome]:
    """The outcomes of a fragment, in its order. Raises ValueError for one of other columns."""
    return map(outcome_of, fragment_records(chunks))


def fragment_records(chunks: Iterable[bytes]) -> Iterator[list[str]]:
    """The records of a fragment as they stand. Raises ValueError for one of other columns."""
    records = csv.reader(rows.text_lines(chunks), strict=True)
    if tuple(next(records, ())) != FRAGMENT_COLUMNS:
        raise ValueError("the fragment has other columns than this program reads")
    return records


def outcome_of(record: list[str]) -> ImageOutcome:
    """The outcome that a record stands for. Raises ValueError for one that is none."""
    return ImageOutcome(
        **{name: _READERS[name](cell) for name, cell in zip(FRAGMENT_COLUMNS, record, strict=True)}
    )


def _optional_int(cell: str) -> int | None:
    return int(cell) if cell else None


def _optional_text(cell: str) -> str | None:
    return cell or None


_READERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(FRAGMENT_COLUMNS, str),
    **dict.fromkeys(("row", "slot", "bytes_in", "bytes_out", "width", "height"), int),
    **dict.fromkeys(("source_quality", "quality"), _optional_int),
    **dict.fromkeys(("name", "quality_basis"), _optional_text),
    "error": lambda cell: ErrorCode(cell) if cell else None,
    "notes": lambda cell: tuple(cell.split()),
}


def commit(store: ShardStore, shard: ShardId, report: Report) -> bool:
    """Write the report, the first time only. False when another run was first: its work stands."""
    key = keys.report(shard.request_id, shard.attempt, shard.index)
    try:
        store.put(key, report.to_json(), JSON, only_if_absent=True)
    except AlreadyExistsError:
        return False
    return True


def write_fragment(store: ShardStore, shard: ShardId, run: str, outcomes: Iterable[ImageOutcome]) -> str:
    """Write a run's fragment and return its key."""
    key = keys.fragment(shard.request_id, shard.attempt, shard.index, run)
    store.put_stream(key, fragment_bytes(outcomes), CSV)
    return key


def read_report(store: ShardStore, shard: ShardId) -> Report | None:
    """The shard's report; None while there is none."""
    try:
        return Report.from_json(store.get(keys.report(shard.request_id, shard.attempt, shard.index)))
    except NotFoundError:
        return None


def earlier_attempts(shard: ShardId) -> Iterator[ShardId]:
    """The shard in the last attempts before, the newest first."""
    for attempt in range(shard.attempt - 1, max(shard.attempt - 1 - LOOK_BACK, 0), -1):
        yield replace(shard, attempt=attempt)


def earlier_report(store: ShardStore, shard: ShardId) -> Report | None:
    """What the newest of the last attempts at the shard reported; it includes what earlier ones achieved."""
    reports = (read_report(store, earlier) for earlier in earlier_attempts(shard))
    return next((report for report in reports if report is not None), None)


def successes(store: ShardStore, report: Report) -> dict[tuple[int, int], ImageOutcome]:
    """The images that a report's run stored or took over, by row and slot; none if its fragment is gone."""
    try:
        with store.open(report.fragment) as chunks:
            outcomes = read_fragment(chunks)
            return {(outcome.row, outcome.slot): outcome for outcome in outcomes if outcome.error is None}
    except NotFoundError:
        return {}


def carry_forward(store: ShardStore, shard: ShardId) -> bool:
    """Take an earlier attempt's report over when none of its images failed; False when there is work, as
    there is when the report's fragment is gone.
    """
    report = earlier_report(store, shard)
    if report is None or report.counts.failed or store.head(report.fragment) is None:
        return False
    commit(store, shard, report)
    return True


def indexes_text(indexes: Iterable[int]) -> str:
    """Indexes in order as ranges: `0-2,7`."""
    ranges: list[list[int]] = []
    for index in sorted(indexes):
        if ranges and index == ranges[-1][1] + 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def indexes_of(text: str) -> tuple[int, ...]:
    """The indexes that `indexes_text` wrote, as a Job's `completedIndexes` too. Raises ValueError."""
    indexes: list[int] = []
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        indexes += range(int(first), int(last or first) + 1)
    return tuple(indexes)
