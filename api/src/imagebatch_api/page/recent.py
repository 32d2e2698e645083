"""The pictures that a running batch stored last, from their names on S3: there is no report yet.

A look costs at most two lists of one page, however many pictures there are.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from imagebatch.records import Request
from imagebatch.storage import keys
from imagebatch.storage.store import ObjectStore, Stored

SHOWN = 12
PAGE = 1000
"""The names that S3 lists at a time, and the rows that share all but three digits of theirs."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Picture:
    """A stored picture: which row it belongs to, where it is, and its bytes."""

    row: int
    link: str
    bytes_out: int


def pictures(store: ObjectStore, batch: Request) -> list[Picture]:
    """The newest pictures near where the batch is. Blocks; raises StoreError."""
    prefix = keys.image_prefix(batch.request_id)
    found = [stored for near in _near(batch) for stored in islice(store.list(prefix + near), PAGE)]
    newest = sorted(found, key=lambda stored: (stored.modified or _LONG_AGO, stored.key), reverse=True)
    return [_picture(store, stored) for stored in newest[:SHOWN]]


def _near(batch: Request) -> list[str]:
    """How the names begin of the rows that are likely under way; shards take them about in their order."""
    if (batch.rows or 0) < PAGE:
        return [""]
    counts = batch.counts
    row = (batch.rows or 0) * counts.done // max(counts.total, 1)
    groups = {row // PAGE, max(row // PAGE - 1, 0)}
    return [keys.image_name(group * PAGE, 1, "")[:4] for group in sorted(groups)]


def _picture(store: ObjectStore, stored: Stored) -> Picture:
    row = int(stored.key.rpartition("/")[2].partition("-")[0])
    return Picture(row, store.link(stored.key), stored.size)
