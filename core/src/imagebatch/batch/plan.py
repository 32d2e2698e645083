"""How a batch is cut into shards: plan.json.

Written once, beside the canonical CSV whose byte ranges it names; read by the jobrunner, by merge and by
whoever starts shards.
"""

import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from imagebatch.csv.layout import TableLayout
from imagebatch.storage import keys

VERSION = 1
LAYOUT_VERSION = 2
"""Of a plan whose columns are not our own three: a program that knows no layouts must not read it."""

MAX_SHARDS = 1000
DEFAULT_ROWS_PER_SHARD = 500


@dataclass(frozen=True, slots=True)
class ShardRange:
    """One shard: bytes `offset` to `offset + length` of the canonical CSV, from row `first_row` (1-based)."""

    offset: int
    length: int
    first_row: int
    rows: int
    images: int


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the output CSV is written, so that it opens in the program the user's file came from.

    The delimiter is missing in plans of earlier versions, which wrote commas.
    """

    bom: bool = False
    line_end: str = "\n"
    delimiter: str = ","


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a batch. `etag` is that of the canonical CSV, whose rows begin after its header,
    `input_key` its key, and `layout` says what its columns are.
    """

    etag: str
    rows: int
    images: int
    dialect: Dialect
    shards: tuple[ShardRange, ...]
    input_key: str = ""
    layout: TableLayout = TableLayout()

    def input_of(self, request_id: str) -> str:
        """The canonical CSV's key; plans of earlier versions do not name it."""
        return self.input_key or keys.canonical_input(request_id)

    def to_json(self) -> bytes:
        values = {"version": LAYOUT_VERSION, **asdict(self)}
        if self.layout == TableLayout():
            del values["layout"]
            values["version"] = VERSION
        return json.dumps(values, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Plan":
        """Read what `to_json` wrote. Raises ValueError for another version."""
        values: dict[str, Any] = json.loads(data)
        version = values.pop("version")
        if version not in {VERSION, LAYOUT_VERSION}:
            known = f"{VERSION} and {LAYOUT_VERSION}"
            raise ValueError(f"plan.json has version {version}; this program reads versions {known}")
        values["layout"] = TableLayout.from_json(values["layout"]) if "layout" in values else TableLayout()
        values["dialect"] = Dialect(**values["dialect"])
        values["shards"] = tuple(ShardRange(**shard) for shard in values["shards"])
        return cls(**values)


class RowIndex:
    """Where each row begins and how many images it has: 12 bytes a row, filled by ingest."""

    def __init__(self) -> None:
        self._offsets = array("Q")
        self._images = array("L")

    def __len__(self) -> int:
        return len(self._offsets)

    def add(self, offset: int, images: int) -> None:
        self._offsets.append(offset)
        self._images.append(images)

    def add_run(self, offset: int, sizes: Iterable[int], images: Iterable[int]) -> None:
        """Rows of so many bytes, one behind the other from `offset` on."""
        self._offsets.extend(accumulate(sizes, initial=offset))
        self._offsets.pop()  # where the next row begins
        self._images.extend(images)

    def cut(self, end: int, rows_per_shard: int = DEFAULT_ROWS_PER_SHARD) -> Iterator[ShardRange]:
        """Shards of `rows_per_shard` rows, or more where that would make over `MAX_SHARDS` of them.

        `end` is the size of the canonical CSV in bytes.
        """
        count = len(self)
        step = max(rows_per_shard, -(-count // MAX_SHARDS))
        for first in range(0, count, step):
            stop = min(first + step, count)
            offset = self._offsets[first]
            length = (self._offsets[stop] if stop < count else end) - offset
            images = sum(self._images[first:stop])
            yield ShardRange(offset, length, first + 1, stop - first, images)
