"""What `peers.py` runs its programs with: links that nginx serves, an S3, and a watch on process trees."""

import asyncio
import getpass
import io
import json
import os
import resource
import shutil
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from peers_page import SCORED, Run, Task, sources_of
from PIL import Image

from imagebatch import settings
from imagebatch.storage.s3 import S3Store
from imagebatch_cli.data_folder import DataFolder, free_ports
from imagebatch_cli.seaweed import EmbeddedS3

DRAWN = 60
SAMPLE_S = 0.1


@dataclass(frozen=True, slots=True)
class Bench:
    """What all programs are given: the folder that they work in, links, and an S3 with its settings."""

    work: Path
    task: Task
    links: list[str]
    store: S3Store
    environment: Mapping[str, str]


@asynccontextmanager
async def bench(folder: Path, task: Task) -> AsyncIterator[Bench]:
    """An S3 and a web server with the task's pictures, both on loopback."""
    await asyncio.to_thread(folder.mkdir)
    pictures = folder / "pictures"
    count = len(sources_of(task, pictures, DRAWN))
    data = DataFolder(folder / "data")
    with data.locked(), served(pictures, folder) as url:
        s3 = EmbeddedS3(data, data.prepare())
        await s3.start()
        try:
            store = S3Store(s3.settings)
            store.create_bucket()
            names = (f"{number // count}/{number % count:03}" for number in range(task.pictures))
            links = [f"{url}/{name}.{task.extension}" for name in names]
            made = Bench(folder, task, links, store, settings.as_env(s3.settings))
            write_inputs(made)
            yield made
        finally:
            await s3.stop()


@contextmanager
def served(pictures: Path, folder: Path) -> Iterator[str]:
    """nginx: /ANY/NAME is the picture NAME, so that there are as many links as wanted."""
    (port,) = free_ports(1)
    own = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; user {getpass.getuser()}; worker_processes 1;"
        f"pid {folder}/nginx.pid; error_log {folder}/nginx.log;"
        f"events {{ worker_connections 1024; }} http {{ access_log off; {own} keepalive_requests 1000000;"
        "types { image/jpeg jpg; image/png png; image/webp webp; }"
        f"server {{ listen 127.0.0.1:{port}; root {pictures}; sendfile on;"
        "rewrite ^/[0-9]+/(.*)$ /$1 last; } }"
    )
    with subprocess.Popen(["nginx", "-c", folder / "nginx.conf", "-e", folder / "nginx.log"]) as nginx:
        try:
            url = f"http://127.0.0.1:{port}"
            answers = httpx.HTTPTransport(retries=10)
            with httpx.Client(transport=answers, trust_env=False) as client:
                client.get(f"{url}/0/{next(pictures.iterdir()).name}").raise_for_status()
            yield url
        finally:
            nginx.terminate()


def write_inputs(made: Bench) -> None:
    (made.work / "links.txt").write_text("\n".join(made.links))
    (made.work / "links.json").write_text(json.dumps(made.links))
    s3 = {
        "endpoint": made.environment["IMAGEBATCH_S3_ENDPOINT"].partition("//")[2],
        "access": made.environment["IMAGEBATCH_S3_ACCESS_KEY"],
        "secret": made.environment["IMAGEBATCH_S3_SECRET_KEY"],
        "bucket": made.environment["IMAGEBATCH_S3_BUCKET"],
    }
    (made.work / "s3.json").write_text(json.dumps(s3))


def used(
    command: list[str | Path], made: Bench, environment: Mapping[str, str] | None = None
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
    count = len(made.links)

    def completed(files: Mapping[int, bytes]) -> Run:
        assert files.keys() == set(range(count)), f"{len(files)} files of {count}"
        for data in files.values():
            image = Image.open(io.BytesIO(data))
            image.load()
            assert image.width == (made.task.made_wide or image.width), image.size
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


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Confine this process, and all that it starts meanwhile, to so many cores."""
    all_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(all_cores)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_cores)


def require_nginx() -> None:
    if shutil.which("nginx") is None:
        raise SystemExit(
            "This benchmark serves its pictures by nginx. On Debian: apt-get install nginx-light"
        )
