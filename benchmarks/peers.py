"""ImageBatch beside what a user would pick: the same links, the same quality, one machine, in turn.

python benchmarks/peers.py [PICTURES [ROUNDS]]

The peers are img2dataset and the loop that everybody writes (httpx, Pillow, minio, 32 threads), plain and
with `optimize`. nginx serves the pictures, a SeaweedFS takes them, both on loopback and counted for nobody.
CPU is that of a program's whole process tree, peak memory the most that all of its processes hold at once.
Each file that comes out is opened; likeness is SSIMULACRA2 of the first ones. Needs nginx; installs the
peers into build/peers. Writes docs/performance.md.
"""

import argparse
import asyncio
import getpass
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from peers_page import IMG2DATASET, LOOP, OPTIMIZED, OURS, PEERS, QUALITY, SCORED, Run, by_peers, page, told
from PIL import Image

from imagebatch import settings
from imagebatch.batch.shard import Report
from imagebatch.csv import rows
from imagebatch.csv.ingest import ingest
from imagebatch.storage import keys
from imagebatch.storage.s3 import S3Store
from imagebatch_cli.data_folder import DataFolder, free_ports
from imagebatch_cli.seaweed import EmbeddedS3

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PICTURES, ROUNDS = 1200, 3
DRAWN = 60
SAMPLE_S = 0.1


@dataclass(frozen=True, slots=True)
class Bench:
    """What all programs are given."""

    work: Path
    drawn: Path
    links: list[str]
    store: S3Store
    environment: Mapping[str, str]


def main() -> None:
    given = arguments()
    install()
    with tempfile.TemporaryDirectory() as name:
        found = asyncio.run(measured(Path(name).resolve(), given.pictures, given.rounds))
    text = page(found, given.pictures, given.rounds)
    (ROOT / "docs" / "performance.md").write_text(text)
    print(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=int, nargs="?", default=PICTURES)
    parser.add_argument("rounds", type=int, nargs="?", default=ROUNDS)
    return parser.parse_args()


def install() -> None:
    if shutil.which("nginx") is None:
        sys.exit("This benchmark serves its pictures by nginx. On Debian: apt-get install nginx-light")
    if not (PEERS / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", PEERS], check=True)
        requirements = ROOT / "requirements" / "peers.txt"
        by_peers("-m", "pip", "install", "--quiet", "--require-hashes", "-r", requirements)


async def measured(folder: Path, pictures: int, rounds: int) -> dict[str, list[Run]]:
    drawn = folder / "pictures"
    await asyncio.to_thread(by_peers, HERE / "peer_programs" / "draw.py", drawn, str(DRAWN))
    data = DataFolder(folder / "data")
    with data.locked(), served(drawn, folder) as url:
        s3 = EmbeddedS3(data, data.prepare())
        await s3.start()
        try:
            store = S3Store(s3.settings)
            store.create_bucket()
            links = [f"{url}/{number // DRAWN}/{number % DRAWN:03}.jpg" for number in range(pictures)]
            bench = Bench(folder, drawn, links, store, settings.as_env(s3.settings))
            write_inputs(bench)
            found: dict[str, list[Run]] = {name: [] for name in PROGRAMS}
            for number in range(rounds):
                for name, run in PROGRAMS.items():
                    found[name].append(await asyncio.to_thread(run, bench, number))
                    print(name, told(found[name][-1]), flush=True)
            return found
        finally:
            await s3.stop()


@contextmanager
def served(drawn: Path, folder: Path) -> Iterator[str]:
    """nginx: /ANY/NAME.jpg is the picture NAME.jpg, so that there are as many links as wanted."""
    (port,) = free_ports(1)
    own = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; user {getpass.getuser()}; worker_processes 1;"
        f"pid {folder}/nginx.pid; error_log {folder}/nginx.log;"
        f"events {{ worker_connections 1024; }} http {{ access_log off; {own} keepalive_requests 1000000;"
        f"types {{ image/jpeg jpg; }} server {{ listen 127.0.0.1:{port}; root {drawn}; sendfile on;"
        "rewrite ^/[0-9]+/(.*)$ /$1 last; } }"
    )
    with subprocess.Popen(["nginx", "-c", folder / "nginx.conf", "-e", folder / "nginx.log"]) as nginx:
        try:
            url = f"http://127.0.0.1:{port}"
            answers = httpx.HTTPTransport(retries=10)
            with httpx.Client(transport=answers, trust_env=False) as client:
                client.get(f"{url}/0/000.jpg").raise_for_status()
            yield url
        finally:
            nginx.terminate()


def write_inputs(bench: Bench) -> None:
    (bench.work / "links.txt").write_text("\n".join(bench.links))
    (bench.work / "links.json").write_text(json.dumps(bench.links))
    s3 = {
        "endpoint": bench.environment["IMAGEBATCH_S3_ENDPOINT"].partition("//")[2],
        "access": bench.environment["IMAGEBATCH_S3_ACCESS_KEY"],
        "secret": bench.environment["IMAGEBATCH_S3_SECRET_KEY"],
        "bucket": bench.environment["IMAGEBATCH_S3_BUCKET"],
    }
    (bench.work / "s3.json").write_text(json.dumps(s3))


# -- the programs ------------------------------------------------------------------------------------


def ours(bench: Bench, number: int) -> Run:
    """One shard, as the operator and the local engine run it."""
    request_id = f"r{number}"
    table = "".join(rows.record([str(row), "Chair", link]) for row, link in enumerate(bench.links))
    ingest(bench.store, request_id, [(rows.record(rows.COLUMNS) + table).encode()], rows_per_shard=1 << 30)
    environment = {
        **os.environ,
        **bench.environment,
        "IMAGEBATCH_REQUEST_ID": request_id,
        "JOB_COMPLETION_INDEX": "0",
        "IMAGEBATCH_ALLOWED_NETWORKS": "127.0.0.1/32",
        "IMAGEBATCH_LOG_LEVEL": "error",
        "IMAGEBATCH_PER_HOST_CONNECTIONS": "32",
        "IMAGEBATCH_COMPRESSION": json.dumps({"quality": str(QUALITY)}),
    }
    usage = used([sys.executable, "-m", "imagebatch_jobrunner"], bench, environment)
    report = Report.from_json(bench.store.get(keys.report(request_id, 1, 0)))
    assert report.counts.succeeded == len(bench.links), report
    return usage(stored(bench, keys.image_prefix(request_id)))


def loop(bench: Bench, _: int) -> Run:
    return used(loop_command(bench), bench)(stored(bench, "loop/"))


def optimized(bench: Bench, _: int) -> Run:
    return used([*loop_command(bench), "optimize"], bench)(stored(bench, "loop/"))


def loop_command(bench: Bench) -> list[str | Path]:
    return [PEERS / "bin" / "python", HERE / "peer_programs" / "loop.py", bench.work, str(QUALITY)]


def img2dataset(bench: Bench, _: int) -> Run:
    shutil.rmtree(bench.work / "img2dataset", ignore_errors=True)
    program = HERE / "peer_programs" / "with_img2dataset.py"
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
    usage = used([PEERS / "bin" / "python", program, bench.work, str(QUALITY)], bench, environment)
    files = sorted((bench.work / "img2dataset").rglob("*.jpg"))
    sources = [json.loads(file.with_suffix(".json").read_text())["url"] for file in files]
    numbers = {link: number for number, link in enumerate(bench.links)}
    return usage({numbers[url]: file.read_bytes() for url, file in zip(sources, files, strict=True)})


PROGRAMS: dict[str, Callable[[Bench, int], Run]] = {
    OURS: ours,
    LOOP: loop,
    OPTIMIZED: optimized,
    IMG2DATASET: img2dataset,
}


def stored(bench: Bench, prefix: str) -> dict[int, bytes]:
    """What lies there, by the number of its link; removed."""
    found = [one.key for one in bench.store.list(prefix)]
    files = {number_of(key, prefix): bench.store.get(key) for key in found}
    bench.store.delete(found)
    return files


def number_of(key: str, prefix: str) -> int:
    """Of rows we count from 1, and the loop from 0."""
    stem = key.removeprefix(prefix).partition(".")[0]
    return int(stem) if prefix == "loop/" else int(stem.partition("-")[0]) - 1


def used(
    command: list[str | Path], bench: Bench, environment: Mapping[str, str] | None = None
) -> Callable[[Mapping[int, bytes]], Run]:
    """Run a program; what it made completes what it used. Every file is opened."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with subprocess.Popen(
        [*map(str, command)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        peaks: list[float] = [0.0]
        watch = threading.Thread(target=watched, args=(process, peaks))
        watch.start()
        assert process.wait() == 0, command
        watch.join()
    lasted, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    count = len(bench.links)

    def completed(files: Mapping[int, bytes]) -> Run:
        assert files.keys() == set(range(count)), f"{len(files)} files of {count}"
        for data in files.values():
            Image.open(io.BytesIO(data)).load()
        some = {number: files[number] for number in range(SCORED)}
        return Run(
            seconds * 1000 / count, count / lasted, peaks[0] / 2**20, sum(map(len, files.values())), some
        )

    return completed


def watched(process: subprocess.Popen[bytes], peaks: list[float]) -> None:
    """Note the most memory that the tree holds (what is shared, in parts)."""
    while process.poll() is None:
        try:
            root = psutil.Process(process.pid)
            peaks[0] = max(peaks[0], sum(held(one) for one in [root, *root.children(recursive=True)]))
        except psutil.Error:
            return
        time.sleep(SAMPLE_S)


def held(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss)
    except psutil.Error:
        return 0.0


if __name__ == "__main__":
    main()
