"""Memory and time of ingest and merge, for 1,000 to 1,000,000 rows, on a real S3.

Each size runs in a process of its own. "growth" is the peak of its resident memory above what it had after
a first small batch, so libraries and connections don't count. "bare" is Python's csv reader going through
the same file and doing nothing, and "ratio" the CPU of ingest by it. Usage: ingest_merge.py [ROWS …]
"""

import asyncio
import csv
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

from imagebatch import settings
from imagebatch.batch.plan import Plan, ShardRange
from imagebatch.batch.shard import Report, ShardId, commit, write_fragment
from imagebatch.csv import rows
from imagebatch.csv.ingest import Ingested, ingest
from imagebatch.csv.merge import Merged, merge
from imagebatch.outcome import Counts, ErrorCode, ImageOutcome
from imagebatch.settings import S3Settings
from imagebatch.storage import keys
from imagebatch.storage.s3 import S3Store
from imagebatch_cli.data_folder import DataFolder
from imagebatch_cli.seaweed import EmbeddedS3

SIZES = (1_000, 10_000, 100_000, 1_000_000)
CHUNK_BYTES = 1 << 16
LINKS_A_ROW = 2
FAILED_EVERY = 50
HEADINGS = "     rows  MB in | bare cpu s | ingest s  cpu s ratio growth MB |  merge s  cpu s growth MB"
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
                print(HEADINGS)
                for size in sizes:
                    print_row(size, write_csv(Path(name), size), settings.as_env(s3.settings))
            finally:
                asyncio.run(s3.stop())


def print_row(size: int, file: Path, s3: dict[str, str]) -> None:
    """The bare reader, ingest and merge, each in a process of its own."""
    bare = in_child("bare", size, file, s3)
    taken = in_child("ingest", size, file, s3)
    in_child("shards", size, file, s3)
    merged = in_child("merge", size, file, s3)
    print(
        f"{size:>9} {file.stat().st_size / 1e6:>6.1f} | {bare['cpu']:>10.2f} |"
        f" {taken['wall']:>8.2f} {taken['cpu']:>6.2f} {taken['cpu'] / bare['cpu']:>5.2f}"
        f" {taken['growth'] / 1e6:>9.1f} | {merged['wall']:>8.2f} {merged['cpu']:>6.2f}"
        f" {merged['growth'] / 1e6:>9.1f}",
        flush=True,
    )


def in_child(work: str, size: int, file: Path, s3: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--child", work, str(size), str(file)],
        env={**os.environ, **s3},
        stdout=subprocess.PIPE,
        check=True,
    )
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def child(work: str, size: int, file: Path) -> None:
    """What runs in a process of its own."""
    store = S3Store(settings.read(S3Settings))
    warm_up(store, file.parent)
    request_id = f"rows-{size}"
    jobs: dict[str, Callable[[], object]] = {
        "bare": lambda: go_through(file),
        "ingest": lambda: take_in(store, request_id, file),
        "shards": lambda: finish_shards(store, request_id, plan_of(store, request_id)),
        "merge": lambda: put_together(store, request_id),
    }
    print(json.dumps(measured(jobs[work])))


def warm_up(store: S3Store, folder: Path) -> None:
    take_in(store, "warm", write_csv(folder, 100))
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


def go_through(file: Path) -> None:
    """The least that reading a CSV in Python costs."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        for _ in csv.reader(lines):
            pass


def take_in(store: S3Store, request_id: str, file: Path) -> Ingested:
    with file.open("rb") as source:
        return ingest(store, request_id, iter(lambda: source.read(CHUNK_BYTES), b""))


def plan_of(store: S3Store, request_id: str) -> Plan:
    return Plan.from_json(store.get(keys.plan(request_id)))


def put_together(store: S3Store, request_id: str) -> Merged:
    return merge(store, request_id, 1, plan_of(store, request_id))


def write_csv(folder: Path, size: int) -> Path:
    """A CSV of about 150 bytes a row, two links in each."""
    file = folder / f"{size}.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        out.write(rows.record(rows.COLUMNS))
        out.writelines(map(row_of, range(1, size + 1)))
    return file


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
    return ImageOutcome(
        row=row, slot=slot, name=name, bytes_in=260_000 + row % 1000, bytes_out=110_000 + row % 1000,
        format="jpeg", width=1200, height=980, source_format="jpeg", source_quality=90, quality=45,
        quality_basis="exact", notes=("metadata_dropped",),
    )  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
