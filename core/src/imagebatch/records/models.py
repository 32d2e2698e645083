"""What the records hold: requests and the deliveries of their webhooks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from imagebatch.batch.lifecycle import Phase, Waiting
from imagebatch.outcome import Counts, Qualities

API_OWNER = "api"
"""The owner of requests that have no object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """A request to be recorded. `owner` is the uid of its object, or `api` where there is none.

    `upload` names its input on S3 (`keys.InputKeys`). `uploaded_by` is the name of the token it came with:
    nobody else may read it through the API. `store` is the id of the S3 with its files, `object` the
    namespace/name of its ImageBatch, if it has one.
    """

    request_id: str
    owner: str = API_OWNER
    attempt: int = 1
    spec: Mapping[str, Any] = field(default_factory=dict)
    input_sha256: str = ""
    rows: int = 0
    images: int = 0
    webhook_url: str | None = None
    webhook_secret: str = ""
    uploaded_by: str | None = None
    upload: str = ""
    store: str = ""
    object: str = ""


@dataclass(frozen=True, slots=True)
class Suspension:
    """`seconds` of suspensions that are over, and `since` when the batch is suspended, if it is."""

    seconds: float = 0.0
    since: datetime | None = None

    def until(self, now: datetime) -> float:
        """All the suspended time up to `now`, in seconds."""
        return self.seconds + ((now - self.since).total_seconds() if self.since is not None else 0.0)

    def as_desired(self, *, is_suspended: bool, now: datetime) -> "Suspension":
        """The suspension begun or ended at `now`, as wanted; unchanged where it is so already."""
        if is_suspended:
            return Suspension(self.seconds, self.since or now)
        return Suspension(self.until(now))


@dataclass(frozen=True, slots=True)
class Gain:
    """The most `images` that were done at once so far, and after how many seconds at work they were."""

    images: int = 0
    at_seconds: float = 0.0

    def after(self, images: int, active_seconds: float) -> "Gain":
        """The gain when so many are done; what is done again after a run broke off is none."""
        return Gain(images, active_seconds) if images > self.images else self


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """Since when what a batch left is gone, because its days were over; None for what is there."""

    working_files: datetime | None = None
    outputs: datetime | None = None
    images: datetime | None = None

    @property
    def prevents_retry(self) -> datetime | None:
        """Since when another attempt can't begin, for it needs its input and the images of the last one."""
        return min(filter(None, (self.working_files, self.images)), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A recorded request. `waiting` says why nothing moves, None while it does; `reason` is why it waits or,
    at its end, why it is not complete, in one word. `is_deleted` when its row only waits for its objects on
    S3 to be removed. `lease_holder` is the engine that drives it, None on Kubernetes. `read_at` is when its
    row was read, by Postgres's clock, as all its times are.
    """

    request_id: str
    owner: str
    attempt: int
    status: str
    phase: Phase
    message: str
    error: str | None
    spec: Mapping[str, Any]
    input_sha256: str
    rows: int
    counts: Counts
    errors_by_code: Mapping[str, int]
    output_key: str | None
    errors_key: str | None
    report_key: str | None = None
    qualities: Qualities = Qualities()
    webhook_url: str | None
    webhook_secret: str = ""
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    uploaded_by: str | None = None
    upload: str = ""
    reason: str = ""
    waiting: Waiting | None = None
    suspension: Suspension = Suspension()
    gain: Gain = Gain()
    removed: Removed = Removed()
    is_deleted: bool = False
    store: str = ""
    object: str = ""
    lease_holder: str | None = None
    read_at: datetime = field(default_factory=partial(datetime.now, UTC), compare=False)

    def active_seconds(self, now: datetime) -> float:
        """How long it has been at work, without the time that it was suspended."""
        if self.started_at is None:
            return 0.0
        return (now - self.started_at).total_seconds() - self.suspension.until(now)


@dataclass(frozen=True, slots=True)
class Result:
    """What a terminal commit records beside the ending."""

    counts: Counts | None = None
    errors_by_code: Mapping[str, int] = field(default_factory=dict)
    output_key: str | None = None
    errors_key: str | None = None
    report_key: str | None = None
    qualities: Qualities = Qualities()


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook to be sent. `secret` says where its signing secret is; `tries` counts those made before.

    `request_id` is empty for a test, which is sent once.
    """

    webhook_id: str
    request_id: str
    attempt: int
    url: str
    secret: str
    body: str
    tries: int

    @property
    def is_test(self) -> bool:
        return not self.request_id


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """How a delivery stands: pending, delivered or failed, and why its last try failed."""

    state: str
    tries: int
    last_error: str


@dataclass(frozen=True, slots=True)
class RecordedDelivery:
    """A delivery as the batch's user sees it; `next_try_at` is None when there will be none."""

    webhook_id: str
    attempt: int
    url: str
    state: str
    tries: int
    last_error: str
    next_try_at: datetime | None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to remove what a request left, until `until`; extending it gives a new claim. `since` is
    when the request was deleted, or when what is removed was gone for its readers.
    """

    request: Request
    since: datetime
    until: datetime
