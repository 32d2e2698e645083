"""Memory and time of ingest and merge, for 1,000 to 1,000,000 rows, on a real S3.

Each size runs in a process of its own. "growth" is the peak of its resident memory above what it had after
a first small batch, so libraries and connections don't count. Usage: ingest_merge.py [ROWS …]
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from imagebatch import keys, rows, settings
from imagebatch.ingest import Ingested, ingest
from imagebatch.merge import Merged, merge
from imagebatch.outcome import Counts, ErrorCode, ImageOutcome
from imagebatch.plan import Plan, ShardRange
from imagebatch.s3 import S3Store
from imagebatch.settings import S3Settings
from imagebatch.shard import Report, ShardId, commit, write_fragment
from imagebatch_cli.folder import DataFolder
from imagebatch_cli.seaweed import EmbeddedS3

SIZES = (1_000, 10_000, 100_000, 1_000_000)
CHUNK_ROWS = 500
LINKS_A_ROW = 2
FAILED_EVERY = 50
T = TypeVar("T")


def main() -> None:
    """Start S3, then one process a size."""
    sizes = [int(word) for word in sys.argv[1:]] or list(SIZES)
    with tempfile.TemporaryDirectory() as name:
        folder = DataFolder(Path(name).resolve())
        with folder.locked():
            s3 = EmbeddedS3(folder, folder.prepare())
            asyncio.run(s3.start())
            try:
                S3Store(s3.settings).create_bucket()
                print(f"{'rows':>9} {'MB in':>6} | {'ingest s':>8} {'cpu s':>6} {'growth MB':>9} | ", end="")
                print(f"{'merge s':>8} {'cpu s':>6} {'growth MB':>9}")
                for size in sizes:
                    print_row(size, settings.as_env(s3.settings))
            finally:
                asyncio.run(s3.stop())


def print_row(size: int, s3: dict[str, str]) -> None:
    """Ingest in one process, then merge in another."""
    taken = in_child("ingest", size, s3)
    in_child("shards", size, s3)
    merged = in_child("merge", size, s3)
    print(
        f"{size:>9} {taken['bytes'] / 1e6:>6.1f} | {taken['wall']:>8.2f} {taken['cpu']:>6.2f}"
        f" {taken['growth'] / 1e6:>9.1f} | {merged['wall']:>8.2f} {merged['cpu']:>6.2f}"
        f" {merged['growth'] / 1e6:>9.1f}",
        flush=True,
    )


def in_child(work: str, size: int, s3: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--child", work, str(size)],
        env={**os.environ, **s3},
        stdout=subprocess.PIPE,
        check=True,
    )
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def child(work: str, size: int) -> None:
    """What runs in a process of its own."""
    store = S3Store(settings.read(S3Settings))
    warm_up(store)
    request_id = f"rows-{size}"
    jobs: dict[str, Callable[[], object]] = {
        "ingest": lambda: take_in(store, request_id, size),
        "shards": lambda: finish_shards(store, request_id, plan_of(store, request_id)),
        "merge": lambda: put_together(store, request_id),
    }
    figures = measured(jobs[work])
    size_in = store.head(keys.canonical_input(request_id))
    print(json.dumps({**figures, "bytes": size_in.size if size_in else 0}))


def warm_up(store: S3Store) -> None:
    take_in(store, "warm", 100)
    finish_shards(store, "warm", plan_of(store, "warm"))
    put_together(store, "warm")


def measured(work: Callable[[], object]) -> dict[str, float]:
    before, cpu, wall = peak_bytes(), time.process_time(), time.perf_counter()
    work()
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "growth": peak_bytes() - before,
    }


def peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def take_in(store: S3Store, request_id: str, size: int) -> Ingested:
    return ingest(store, request_id, csv_of(size))


def plan_of(store: S3Store, request_id: str) -> Plan:
    return Plan.from_json(store.get(keys.plan(request_id)))


def put_together(store: S3Store, request_id: str) -> Merged:
    return merge(store, request_id, 1, plan_of(store, request_id))


def csv_of(size: int) -> Iterator[bytes]:
    """A CSV of about 150 bytes a row, two links in each."""
    yield rows.record(rows.COLUMNS).encode()
    for start in range(1, size + 1, CHUNK_ROWS):
        numbers = range(start, min(start + CHUNK_ROWS, size + 1))
        yield "".join(map(row_of, numbers)).encode()


def row_of(number: int) -> str:
    base = f"https://cdn.shop.example/catalogue/{number:08d}"
    return rows.record([str(number), f"Product number {number}, blue", f"{base}/front.jpg, {base}/back.jpg"])


def finish_shards(store: S3Store, request_id: str, plan: Plan) -> None:
    """Write what jobrunners would: every image stored but each 50th row's second."""
    for index, shard in enumerate(plan.shards):
        fragment = write_fragment(store, ShardId(request_id, 1, index), "bench", outcomes_of(shard))
        report = Report("bench", fragment, shard.rows, Counts(shard.images, shard.images, 0))
        commit(store, ShardId(request_id, 1, index), report)


def outcomes_of(shard: ShardRange) -> Iterator[ImageOutcome]:
    for row in range(shard.first_row, shard.first_row + shard.rows):
        for slot in range(1, LINKS_A_ROW + 1):
            yield outcome_of(row, slot)


def outcome_of(row: int, slot: int) -> ImageOutcome:
    if slot == 2 and row % FAILED_EVERY == 0:
        return ImageOutcome(row=row, slot=slot, error=ErrorCode.HTTP_STATUS, message="HTTP 404")
    name = keys.image_name(row, slot, "jpg")
    return ImageOutcome(row=row, slot=slot, name=name, bytes_in=260_000, bytes_out=110_000, format="jpeg")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]))
    else:
        main()
