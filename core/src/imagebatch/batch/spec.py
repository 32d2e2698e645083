"""What a user wants of a batch, in the form of the ImageBatch object's spec."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagebatch.batch.lifecycle import Desired
from imagebatch.batch.plan import DEFAULT_ROWS_PER_SHARD
from imagebatch.batch.retention import KeepDays
from imagebatch.csv.columns import UNDECLARED, ColumnOptions
from imagebatch.options import Compression


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSpec:
    """What a batch is to do; its JSON form is that of the object's spec, without where its source is."""

    columns: ColumnOptions = UNDECLARED
    compression: Compression = field(default_factory=Compression)
    rows_per_shard: int = DEFAULT_ROWS_PER_SHARD
    desired: Desired = field(default_factory=Desired)
    keep: KeepDays = field(default_factory=KeepDays)

    def as_spec(self) -> dict[str, Any]:
        return {
            "source": self.columns.as_spec(),
            "compression": self.compression.as_spec(),
            "sharding": {"rowsPerShard": self.rows_per_shard, "parallelism": self.desired.parallelism},
            "limits": {
                "maxFailedPercent": self.desired.max_failed_percent,
                "deadlineSeconds": self.desired.deadline_seconds,
            },
            "suspend": self.desired.suspend,
            "cancel": self.desired.cancel,
            "keepDays": self.keep.as_spec(),
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> "BatchSpec":
        """Read what `as_spec` wrote; what is absent has its default. Raises InputRefusedError."""
        sharding, limits = spec.get("sharding", {}), spec.get("limits", {})
        return cls(
            columns=ColumnOptions.parse(spec.get("source", {})),
            compression=Compression.parse(spec.get("compression", {})),
            rows_per_shard=sharding.get("rowsPerShard", DEFAULT_ROWS_PER_SHARD),
            desired=Desired(
                suspend=spec.get("suspend", False),
                cancel=spec.get("cancel", False),
                parallelism=sharding.get("parallelism", Desired().parallelism),
                max_failed_percent=limits.get("maxFailedPercent", 100),
                deadline_seconds=limits.get("deadlineSeconds"),
            ),
            keep=KeepDays.parse(spec.get("keepDays", {})),
        )
