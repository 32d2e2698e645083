"""Memory of a jobrunner and its codec processes on a shard that mixes thumbnails with pictures at the limit.

It runs with the default limits, confined to the memory that docs/formats.md promises. Also the bytes a pixel
that single pictures take, beside what a codec process asks for. Usage: memory.py [THUMBNAILS [LARGE]]
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from imagebatch import settings
from imagebatch.batch.shard import Report
from imagebatch.csv import rows
from imagebatch.csv.ingest import ingest
from imagebatch.storage import keys
from imagebatch.storage.s3 import S3Store
from imagebatch_cli.data_folder import DataFolder
from imagebatch_cli.seaweed import EmbeddedS3
from imagebatch_jobrunner.codec.command import ENVIRONMENT
from imagebatch_jobrunner.limits import CodecLimits, PictureLimits
from imagebatch_testing import confined, mixed
from imagebatch_testing.mixed import MIB, Mix
from imagebatch_testing.web import Page, serving

PROCESSES = 2
BYTES_IN_FLIGHT = 256 * MIB
SINGLE_SIDE = 5000
OUTPUTS = ("jpeg", "webp", "avif", "png")


def main() -> None:
    thumbnails, large = (int(word) for word in (*sys.argv[1:], "3000", "3")[:2])
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(shard(Path(name).resolve(), thumbnails, large))
        singles(Path(name))


async def shard(place: Path, thumbnails: int, large: int) -> None:
    mix = Mix(thumbnails, large, int(PictureLimits().max_pixels ** 0.5))
    limit = mixed.documented_limit(PROCESSES, CodecLimits().picture_bytes, BYTES_IN_FLIGHT)
    folder = DataFolder(place / "data")
    with folder.locked():
        s3 = EmbeddedS3(folder, folder.prepare())
        await s3.start()
        try:
            store = S3Store(s3.settings)
            await asyncio.to_thread(store.create_bucket)
            async with serving({path: Page(data) for path, data in mixed.files(mix).items()}) as web:
                links = mixed.links(mix, web.url(""))
                await asyncio.to_thread(_upload, store, links)
                environment = {
                    **os.environ,
                    **settings.as_env(s3.settings),
                    "IMAGEBATCH_REQUEST_ID": "r1",
                    "JOB_COMPLETION_INDEX": "0",
                    "IMAGEBATCH_ALLOWED_NETWORKS": web.host,
                    "IMAGEBATCH_CODEC_PROCESSES": str(PROCESSES),
                    "IMAGEBATCH_MAX_IMAGE_BYTES": str(BYTES_IN_FLIGHT),  # PNGs of noise are long
                    "IMAGEBATCH_LOG_LEVEL": "error",
                }
                ran = await confined.run([sys.executable, "-m", "imagebatch_jobrunner"], environment, limit)
            report = Report.from_json(store.get(keys.report("r1", 1, 0)))
        finally:
            await s3.stop()
    print(f"{len(links)} images, {large} of each kind of {mix.side}x{mix.side} pixels: exit {ran.code}")
    print(f"succeeded {report.counts.succeeded}, failed {report.errors or 0}")
    print(f"peak {ran.peak_bytes // MIB} MiB of {limit // MIB} MiB promised", end="")
    print(", enforced by the kernel" if ran.enforced else ", added up")


def _upload(store: S3Store, links: list[str]) -> None:
    head = rows.record(rows.COLUMNS)
    body = "".join(rows.record([str(number), "Chair", link]) for number, link in enumerate(links))
    ingest(store, "r1", [(head + body).encode()], rows_per_shard=len(links))


def singles(place: Path) -> None:
    """Each kind of picture to each format, in a process of its own."""
    print(f"\nbytes a pixel at {SINGLE_SIDE}x{SINGLE_SIDE}: taken / asked for")
    print(f"{'':<18}" + "".join(f"{name:>14}" for name in OUTPUTS))
    for path, data in mixed.files(Mix(0, 0, SINGLE_SIDE)).items():
        if path == "/thumbnail.jpg":
            continue
        file = place / path.strip("/")
        file.write_bytes(data)
        figures = [_single(file, output) for output in OUTPUTS]
        print(f"{path.strip('/'):<18}" + "".join(f"{figure:>14}" for figure in figures), flush=True)


def _single(file: Path, output: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", _SINGLE, str(file), output]
    ended = subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT)
    taken, asked = ended.stdout.split()
    pixels = SINGLE_SIDE**2
    return f"{int(taken) / pixels:.1f} / {int(asked) / pixels:.0f}"


_SINGLE = """
import sys
from imagebatch.options import Compression
from imagebatch_jobrunner.decoder.compress import compress_image
from imagebatch_jobrunner.limits import PictureLimits
def memory_bytes(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1]) * 1024
data, asked = open(sys.argv[1], "rb").read(), []
before = memory_bytes("VmRSS")
compress_image(data, Compression(format=sys.argv[2]), PictureLimits(), asked.append)
print(memory_bytes("VmHWM") - before, asked[0])
"""


if __name__ == "__main__":
    main()
