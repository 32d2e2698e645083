"""What a shard has to do: its range of the canonical CSV, as the plan says, link by link.

Read by `shard_run` before anything else happens. What does not fit the plan is a poison shard.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass

from imagebatch.batch.plan import Plan, ShardRange
from imagebatch.batch.shard import ShardId
from imagebatch.csv import rows
from imagebatch.csv.layout import TableLayout
from imagebatch.errors import NotFoundError
from imagebatch.storage.store import ShardStore
from imagebatch_jobrunner.errors import PoisonShardError


@dataclass(frozen=True, slots=True)
class Slot:
    """The `slot`-th link (from 1) of row `row` (from 1, in the whole canonical CSV)."""

    row: int
    slot: int
    link: str


@dataclass(frozen=True, slots=True)
class ShardInput:
    """A shard's part of the plan and of the CSV."""

    range: ShardRange
    data: bytes
    layout: TableLayout = TableLayout()

    def slots(self) -> Iterator[Slot]:
        """Every link in order. Raises PoisonShardError when the rows are not what the plan says."""
        count = 0
        try:
            for count, record in enumerate(rows.parse([self.data]), start=1):
                yield from self._slots_of(self.range.first_row + count - 1, record)
        except (csv.Error, UnicodeDecodeError) as error:
            raise PoisonShardError(f"the shard's rows are not CSV: {error}") from error
        if count != self.range.rows:
            raise PoisonShardError(f"the shard has {count} rows; its plan says {self.range.rows}")

    def _slots_of(self, row: int, record: list[str]) -> Iterator[Slot]:
        if len(record) != len(self.layout.header):
            raise PoisonShardError(f"row {row} has {len(record)} fields")
        for number, link in enumerate(self.layout.entries(record), start=1):
            yield Slot(row, number, link)


def read(store: ShardStore, shard: ShardId, plan_key: str) -> ShardInput:
    """Raises PoisonShardError when plan or input are gone or changed, StoreError when S3 fails."""
    try:
        plan = Plan.from_json(store.get(plan_key))
        found = plan.shards[shard.index]
        data = _read_range(store, plan.input_of(shard.request_id), found, plan.etag)
    except NotFoundError as error:
        raise PoisonShardError(f"the shard's input is gone or was changed: {error}") from error
    except (json.JSONDecodeError, ValueError, KeyError, TypeError) as error:
        raise PoisonShardError(f"plan.json is not usable: {error}") from error
    except IndexError:
        raise PoisonShardError(f"the plan has {len(plan.shards)} shards, none is {shard.index}") from None
    if len(data) != found.length:
        raise PoisonShardError(f"the shard has {len(data)} bytes; its plan says {found.length}")
    return ShardInput(found, data, plan.layout)


def _read_range(store: ShardStore, key: str, found: ShardRange, etag: str) -> bytes:
    if not found.length:
        return b""
    return store.get(key, offset=found.offset, length=found.length, etag=etag)
