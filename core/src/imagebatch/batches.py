"""A batch as the user wishes it, and who takes it in.

The API parses an upload to a `BatchSpec` and hands it to a `BatchIntake`: on one machine that is the
records, on Kubernetes it is an ImageBatch object and the records. Whoever runs the batch reads it back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from imagebatch.lifecycle import Wish
from imagebatch.options import Compression
from imagebatch.plan import DEFAULT_ROWS_PER_SHARD
from imagebatch.records import NewRequest, Records, Request

Wake = Callable[[str], None]
"""Tells an engine that the request with this id wants attention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSpec:
    """What a batch is to do; its JSON form is that of the object's spec."""

    compression: Compression = field(default_factory=Compression)
    rows_per_shard: int = DEFAULT_ROWS_PER_SHARD
    wish: Wish = field(default_factory=Wish)

    def as_spec(self) -> dict[str, Any]:
        return {
            "compression": self.compression.as_spec(),
            "sharding": {"rowsPerShard": self.rows_per_shard, "parallelism": self.wish.parallelism},
            "limits": {
                "maxFailedPercent": self.wish.max_failed_percent,
                "deadlineSeconds": self.wish.deadline_seconds,
            },
            "suspend": self.wish.suspend,
            "cancel": self.wish.cancel,
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "BatchSpec":
        """Read what `as_spec` wrote; what is absent has its default. Raises InputRefusedError."""
        sharding, limits = spec.get("sharding", {}), spec.get("limits", {})
        return cls(
            compression=Compression.parse(spec.get("compression", {})),
            rows_per_shard=sharding.get("rowsPerShard", DEFAULT_ROWS_PER_SHARD),
            wish=Wish(
                suspend=spec.get("suspend", False),
                cancel=spec.get("cancel", False),
                parallelism=sharding.get("parallelism", Wish().parallelism),
                max_failed_percent=limits.get("maxFailedPercent", 100),
                deadline_seconds=limits.get("deadlineSeconds"),
            ),
        )


class BatchIntake(Protocol):
    """Takes a batch in, so that it will be run though everything restarts."""

    async def submit(self, request: NewRequest) -> bool:
        """Promise to run it. Its canonical CSV and plan are on S3 already, under names of its own.

        False when another upload with its id was first: then this one is not run. Raises
        OutcomeUnknownError when it may be promised and the answer was lost: the same call may be made
        again, and what is on S3 must stay. Any other RecordsError means that nothing was promised.
        """
        ...

    async def find(self, request_id: str) -> Request | None:
        """A request that was taken in and has no row yet, if that can be. Raises RecordsError."""
        ...


class RecordedIntake:
    """Takes a batch in by its row alone, and tells the engine of this process."""

    def __init__(self, records: Records, wake: Wake) -> None:
        self._records = records
        self._wake = wake

    async def submit(self, request: NewRequest) -> bool:
        is_ours = await self._records.create(request) or await self._is_recorded(request)
        if is_ours:
            self._wake(request.request_id)
        return is_ours

    async def _is_recorded(self, request: NewRequest) -> bool:
        """Whether the row that is there is this very upload's, by an earlier call whose answer was lost."""
        found = await self._records.get(request.request_id)
        return found is not None and found.upload == request.upload

    async def find(self, request_id: str) -> Request | None:  # noqa: ARG002 - the row is the promise
        return None
