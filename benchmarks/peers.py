"""ImageBatch beside what a user would pick: the same links, the same quality, one machine, in turn.

PYTHONPATH=tests/support python benchmarks/peers.py [ROUNDS] [--task NAME …]

The peers are img2dataset, the loop that everybody writes (httpx, Pillow, minio, 32 threads), plain and with
`optimize`, and, where they are installed, curl and libvips' command. nginx serves the pictures, a SeaweedFS
takes them, both on loopback and counted for nobody. CPU is that of a program's whole process tree, peak
memory the most that all of its processes hold at once. Each file that comes out is opened; likeness is
SSIMULACRA2 of the first ones. Photographs are tried where there is a corpus (IMAGEBATCH_CORPUS). Last,
ImageBatch does the first task with everything, nginx and S3 too, on one core and on all, in turn. Needs
nginx; installs the peers into build/peers. Writes docs/performance.md, if all tasks were done.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from peers_bench import Bench, bench, on_cores, require_nginx, used
from peers_page import (
    IMG2DATASET,
    LOOP,
    OPTIMIZED,
    OURS,
    PEERS,
    QUALITY,
    TASKS,
    VIPS,
    Cores,
    Found,
    Run,
    Task,
    by_peers,
    page,
    told,
)

from imagebatch.batch.shard import Report
from imagebatch.csv import rows
from imagebatch.csv.ingest import ingest
from imagebatch.storage import keys
from imagebatch_testing import corpus

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ROUNDS = 3


def main() -> None:
    given = arguments()
    install()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        tasks = [task for task in TASKS if task.name in (given.tasks or can_be_done())]
        found = {
            task.name: asyncio.run(measured(folder / task.name, task, there(task.programs), given.rounds))
            for task in tasks
        }
        cores = asyncio.run(on_one_and_all(folder, tasks[0], given.rounds))
    text = page(found, cores, given.rounds)
    if not given.tasks:
        (ROOT / "docs" / "performance.md").write_text(text)
    print(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rounds", type=int, nargs="?", default=ROUNDS)
    parser.add_argument("--task", action="append", dest="tasks", choices=[task.name for task in TASKS])
    return parser.parse_args()


def can_be_done() -> list[str]:
    """The names of the tasks whose pictures there are."""
    has_photographs = corpus.folder() is not None
    return [task.name for task in TASKS if has_photographs or not task.are_photographs]


def there(programs: tuple[str, ...]) -> tuple[str, ...]:
    has_vips = shutil.which("vips") and shutil.which("curl")
    return tuple(name for name in programs if has_vips or name != VIPS)


def install() -> None:
    require_nginx()
    if not (PEERS / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
        requirements = ROOT / "requirements" / "peers.txt"
        by_peers("-m", "pip", "install", "--quiet", "--require-hashes", "-r", requirements)


async def measured(folder: Path, task: Task, programs: tuple[str, ...], rounds: int) -> Found:
    found: Found = {name: [] for name in programs}
    async with bench(folder, task) as made:
        for number in range(rounds):
            for name in programs:
                found[name].append(await asyncio.to_thread(PROGRAMS[name], made, number))
                print(f"{task.name}: {name}", told(found[name][-1]), flush=True)
    return found


async def on_one_and_all(folder: Path, task: Task, rounds: int) -> Cores:
    """ImageBatch with everything, its S3 and its web server too, on one core and on all of them, in turn."""
    found: Cores = {"one": [], "all": []}
    async with AsyncExitStack() as stack:
        on_all = await stack.enter_async_context(bench(folder / "all", task))
        with on_cores(1):
            on_one = await stack.enter_async_context(bench(folder / "one", task))
        for number in range(rounds):
            with on_cores(1):
                found["one"].append(ours(on_one, number))
            found["all"].append(ours(on_all, number))
            print(f"one core: {told(found['one'][-1])}; all: {told(found['all'][-1])}", flush=True)
    return found


# -- the programs ------------------------------------------------------------------------------------


def ours(made: Bench, number: int) -> Run:
    """One shard, as the operator and the local engine run it."""
    request_id = f"r{number}"
    table = "".join(rows.record([str(row), "Chair", link]) for row, link in enumerate(made.links))
    ingest(made.store, request_id, [(rows.record(rows.COLUMNS) + table).encode()], rows_per_shard=1 << 30)
    environment = {
        **os.environ,
        **made.environment,
        "IMAGEBATCH_REQUEST_ID": request_id,
        "JOB_COMPLETION_INDEX": "0",
        "IMAGEBATCH_ALLOWED_NETWORKS": "127.0.0.1/32",
        "IMAGEBATCH_LOG_LEVEL": "error",
        "IMAGEBATCH_PER_HOST_CONNECTIONS": "32",
        "IMAGEBATCH_COMPRESSION": json.dumps({"quality": str(QUALITY), **made.task.options}),
    }
    usage = used([sys.executable, "-m", "imagebatch_jobrunner"], made, environment)
    report = Report.from_json(made.store.get(keys.report(request_id, 1, 0)))
    assert report.counts.succeeded == len(made.links), report
    return usage(stored(made, keys.image_prefix(request_id)))


def loop(made: Bench, _: int) -> Run:
    return used(loop_command(made), made)(stored(made, "loop/"))


def optimized(made: Bench, _: int) -> Run:
    return used([*loop_command(made), "--optimize"], made)(stored(made, "loop/"))


def loop_command(made: Bench) -> list[str | Path]:
    program = HERE / "peer_programs" / "loop.py"
    return [PEERS / "bin" / "python", program, made.work, str(QUALITY), *made.task.loop_words]


def img2dataset(made: Bench, _: int) -> Run:
    shutil.rmtree(made.work / "img2dataset", ignore_errors=True)
    program = HERE / "peer_programs" / "with_img2dataset.py"
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
    usage = used([PEERS / "bin" / "python", program, made.work, str(QUALITY)], made, environment)
    files = sorted((made.work / "img2dataset").rglob("*.jpg"))
    sources = [json.loads(file.with_suffix(".json").read_text())["url"] for file in files]
    numbers = {link: number for number, link in enumerate(made.links)}
    return usage({numbers[url]: file.read_bytes() for url, file in zip(sources, files, strict=True)})


def vips(made: Bench, _: int) -> Run:
    """As one does it in a shell."""
    folder = made.work / "vips"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    urls = (f'url = "{link}"\noutput = "{number}.in.jpg"' for number, link in enumerate(made.links))
    (folder / "urls").write_text("\n".join(urls))
    script = (
        f"cd {folder} && curl --silent --fail --parallel --parallel-max 32 --config urls"
        f" && seq 0 {len(made.links) - 1}"
        f" | xargs -P 2 -I N vips jpegsave N.in.jpg N.jpg --Q {QUALITY} --strip"
    )
    usage = used(["sh", "-c", script], made)
    return usage({number: (folder / f"{number}.jpg").read_bytes() for number in range(len(made.links))})


PROGRAMS: dict[str, Callable[[Bench, int], Run]] = {
    OURS: ours,
    LOOP: loop,
    OPTIMIZED: optimized,
    IMG2DATASET: img2dataset,
    VIPS: vips,
}


def stored(made: Bench, prefix: str) -> dict[int, bytes]:
    """What lies there, by the number of its link; removed."""
    found = [one.key for one in made.store.list(prefix)]
    files = {number_of(key, prefix): made.store.get(key) for key in found}
    made.store.delete(found)
    return files


def number_of(key: str, prefix: str) -> int:
    """Of rows we count from 1, and the loop from 0."""
    stem = key.removeprefix(prefix).partition(".")[0]
    return int(stem) if prefix == "loop/" else int(stem.partition("-")[0]) - 1


if __name__ == "__main__":
    main()
