"""What a shard has stored before its report: parts of a fragment, numbered from 0, each written once.

The next run of the shard skips the images that the parts name, and merge takes these images when the shard
was given up. Two runs at once, such as one that is wrongly thought dead, write parts in turn. That does no
harm: each part names stored objects, and both runs store the same under these names.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from imagebatch.batch.shard import (
    ShardId,
    earlier_attempts,
    fragment_bytes,
    fragment_records,
    outcome_of,
    read_report,
    successes,
)
from imagebatch.errors import AlreadyExistsError
from imagebatch.outcome import ImageOutcome
from imagebatch.storage import keys
from imagebatch.storage.store import CSV, ShardStore

PARTS = 125
"""Parts of a shard. The next one gathers while one is written, so a kill costs at most two parts and the
images under way (docs/decisions/0018).
"""

LEAST_IMAGES = 4
"""The images of the smallest part: it costs one more PUT for so many."""


@dataclass(frozen=True, slots=True)
class StoredImages:
    """The images that runs of a shard stored, by row and slot, and how many parts name them."""

    images: dict[tuple[int, int], ImageOutcome] = field(default_factory=dict)
    parts: int = 0


def images_of_part(images: int) -> int:
    """How many images a part has, in a shard with this many images."""
    return max(LEAST_IMAGES, -(-images // PARTS))


def write(store: ShardStore, shard: ShardId, number: int, outcomes: Iterable[ImageOutcome]) -> int:
    """Write a part as the first free one from `number` on; returns its number.

    After a lost answer the same part may be there twice, which changes nothing.
    """
    data = b"".join(fragment_bytes(outcomes))
    while True:
        try:
            store.put(_key(shard, number), data, CSV, only_if_absent=True)
        except AlreadyExistsError:
            number += 1
        else:
            return number


def read(store: ShardStore, shard: ShardId) -> StoredImages:
    """What runs of the shard stored so far. Raises ValueError for a part of other columns."""
    found = [list(map(outcome_of, part)) for part in parts(store, shard)]
    return StoredImages({(one.row, one.slot): one for part in found for one in part}, len(found))


def of_earlier_attempts(store: ShardStore, shard: ShardId) -> dict[tuple[int, int], ImageOutcome]:
    """The images that earlier attempts stored: by the newest report, and by the parts of attempts that were
    given up or cancelled since.
    """
    found: dict[tuple[int, int], ImageOutcome] = {}
    for earlier in earlier_attempts(shard):
        report = read_report(store, earlier)
        if report is not None:
            return successes(store, report) | found
        found |= read(store, earlier).images
    return found


def parts(store: ShardStore, shard: ShardId) -> Iterator[Iterator[list[str]]]:
    """The records of each part, as they stand. Raises ValueError for a part of other columns."""
    for number in count():
        key = _key(shard, number)
        # By HEAD: why a GET finds nothing, only the SDK says, whose import takes 0.2 s of every shard.
        if store.head(key) is None:
            return
        yield fragment_records([store.get(key)])


def _key(shard: ShardId, number: int) -> str:
    return keys.part(shard.request_id, shard.attempt, shard.index, number)
