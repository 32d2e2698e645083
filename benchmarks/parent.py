"""CPU of a jobrunner's parent process, apart from its codec processes: what a shard and a picture cost it.

A shard of one picture tells the fixed costs, a long one on top of it what each further picture takes. The
pictures come from a server process on loopback and go to the embedded S3. Several Pythons, each with another
version of ImageBatch installed, are measured in turn; what is printed are the minima over the rounds.
Usage: parent.py [--pictures N] [--rounds N] [PYTHON …]
"""

import argparse
import asyncio
import io
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from PIL import Image

from imagebatch import settings
from imagebatch.batch.shard import Report
from imagebatch.csv import rows
from imagebatch.csv.ingest import ingest
from imagebatch.storage import keys
from imagebatch.storage.s3 import S3Store
from imagebatch_cli.data_folder import DataFolder
from imagebatch_cli.seaweed import EmbeddedS3

SIZE = (1200, 980)
QUALITY = 90
NOISE = 15
KINDS = 8
SHORT_SHARDS = 3
"""Of a round: their cost is taken off the long one's, so what disturbs them would count for each picture."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds: CPU of the parent in user and in system mode, CPU of its codec processes, and wall time.

    `asked` is the parent's CPU when it sent its first GET.
    """

    user: float
    system: float
    codecs: float
    wall: float
    asked: float


PROGRAM = """
import atexit, os, resource, runpy, sys
def told():
    own, codecs = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    os.write(int(sys.argv[1]), f"{own.ru_utime} {own.ru_stime} {codecs.ru_utime + codecs.ru_stime}".encode())
atexit.register(told)
runpy.run_module("imagebatch_jobrunner", run_name="__main__")
"""
"""The real program, which tells at its end what it took."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--server", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("pythons", nargs="*", default=[sys.executable])
    given = parser.parse_args()
    if given.server:
        asyncio.run(serve())
        return
    with tempfile.TemporaryDirectory() as name, stored(Path(name)) as s3, served() as port:
        measure(s3, port, given)


def measure(s3: EmbeddedS3, port: int, given: argparse.Namespace) -> None:
    store = S3Store(s3.settings)
    costs: dict[str, list[tuple[Cost, Cost]]] = {python: [] for python in given.pythons}
    for _ in range(given.rounds):
        for python in given.pythons:
            one = least([shard(python, store, s3, port, 1) for _ in range(SHORT_SHARDS)])
            costs[python].append((one, shard(python, store, s3, port, given.pictures)))
    store.close()
    for python, rounds in costs.items():
        one, many = (least([pair[which] for pair in rounds]) for which in (0, 1))
        print_costs(python, one, many, given.pictures - 1)


def print_costs(python: str, one: Cost, many: Cost, further: int) -> None:
    a_picture = Cost(
        *((getattr(many, field.name) - getattr(one, field.name)) / further * 1000 for field in fields(Cost))
    )
    print(python)
    print(
        f"  a shard of one picture: parent {one.user + one.system:.2f} s CPU, of which {one.asked:.2f} ",
        end="",
    )
    print(f"before its first GET, codecs {one.codecs:.2f} s, wall {one.wall:.2f} s")
    print(f"  each further picture: parent {a_picture.user + a_picture.system:.2f} ms CPU ", end="")
    print(f"({a_picture.user:.2f} user, {a_picture.system:.2f} system), ", end="")
    print(f"codecs {a_picture.codecs:.2f} ms, wall {a_picture.wall:.2f} ms", flush=True)


def least(costs: list[Cost]) -> Cost:
    """The minimum of each figure: what disturbs a measurement only ever adds."""
    return Cost(*(min(getattr(cost, field.name) for cost in costs) for field in fields(Cost)))


def shard(python: str, store: S3Store, s3: EmbeddedS3, port: int, pictures: int) -> Cost:
    """Do one shard of so many pictures in a real jobrunner."""
    request_id = f"r{time.monotonic_ns()}"
    records = (
        rows.record([str(number), "Chair", f"http://127.0.0.1:{port}/{number}.jpg"])
        for number in range(pictures)
    )
    csv = (rows.record(rows.COLUMNS) + "".join(records)).encode()
    ingest(store, request_id, [csv], rows_per_shard=pictures)
    environment = {
        "PATH": os.environ["PATH"],
        **settings.as_env(s3.settings),
        "IMAGEBATCH_REQUEST_ID": request_id,
        "JOB_COMPLETION_INDEX": "0",
        "IMAGEBATCH_ALLOWED_NETWORKS": f"127.0.0.1/32:{port}",
        "IMAGEBATCH_LOG_LEVEL": "warning",
    }
    cost = run(python, environment, port)
    report = Report.from_json(store.get(keys.report(request_id, 1, 0)))
    assert report.counts.succeeded == pictures, report
    return cost


def run(python: str, environment: dict[str, str], port: int) -> Cost:
    reading, writing = os.pipe()
    started = time.perf_counter()
    process = subprocess.Popen([python, "-c", PROGRAM, str(writing)], env=environment, pass_fds=[writing])
    os.close(writing)
    watch(port, process.pid)
    assert process.wait() == 0
    wall = time.perf_counter() - started
    with os.fdopen(reading) as told:
        user, system, codecs = map(float, told.read().split())
    return Cost(user, system, codecs, wall, asked=watch(port, 0))


def watch(port: int, pid: int) -> float:
    """Let the server look at the CPU of `pid` when it is asked next; 0 gives what it saw, in seconds."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/watch?{pid}") as answer:
        return float(answer.read())


def pictures() -> list[bytes]:
    """Photographs of about 260 KB: noise over gradients."""
    return [picture(seed) for seed in range(KINDS)]


def picture(seed: int) -> bytes:
    gradient = Image.linear_gradient("L").resize(SIZE)
    drawn = [gradient.rotate(90 * turn + seed).resize(SIZE) for turn in range(3)]
    source = random.Random(seed)
    noise = Image.frombytes("L", SIZE, source.randbytes(SIZE[0] * SIZE[1]))
    file = io.BytesIO()
    Image.merge("RGB", [Image.blend(band, noise, NOISE / 256) for band in drawn]).save(
        file, "JPEG", quality=QUALITY
    )
    return file.getvalue()


@contextmanager
def stored(place: Path) -> Iterator[EmbeddedS3]:
    folder = DataFolder(place.resolve())
    with folder.locked():
        s3 = EmbeddedS3(folder, folder.prepare())
        asyncio.run(s3.start())
        try:
            S3Store(s3.settings).create_bucket()
            yield s3
        finally:
            asyncio.run(s3.stop())


@contextmanager
def served() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, __file__, "--server"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


class Server(asyncio.Protocol):
    """Answers each request with one of the pictures; `/watch?PID` is `watch`'s."""

    bodies: list[bytes]
    watched = 0
    seen = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        target = data.split(b" ", 2)[1]
        if target.startswith(b"/watch"):
            body = str(Server.seen).encode()
            Server.watched = int(target.partition(b"?")[2])
        else:
            self._look()
            body = Server.bodies[int(target[1:-4]) % KINDS]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._transport.writelines([head, body])

    def _look(self) -> None:
        if Server.watched:
            fields = Path(f"/proc/{Server.watched}/stat").read_text().rpartition(")")[2].split()
            Server.seen = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            Server.watched = 0


async def serve() -> None:
    Server.bodies = pictures()
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    main()
