"""The page that `peers.py` writes of its runs."""

import os
import platform
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / "build" / "peers"
QUALITY = 45
SCORED = 6
OURS, LOOP, OPTIMIZED, IMG2DATASET = "ImageBatch", "loop", "loop, optimize", "img2dataset"
PAGE = """\
# What a picture costs, beside what one would pick instead

Written by `python benchmarks/peers.py`: {pictures} links to pictures of 1200 x 980 (quality 90, 4:2:0) to
quality {quality}, {rounds} rounds in turn. CPU is that of the whole process tree, the median of the rounds;
memory the most that the tree held at once. nginx and SeaweedFS run on the same machine and are counted for
nobody. Likeness is SSIMULACRA2 to the source, the mean of {scored}. img2dataset writes files; the others
store on S3. Only ImageBatch checks the addresses that it connects to, bounds what a picture may take, and
decodes in processes whose crash costs one picture.

| program | CPU ms | of ImageBatch's | pictures/s | peak MiB | KB out | of the loop's | likeness |
|---|---|---|---|---|---|---|---|
{table}

{machine}
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One program's run over all pictures."""

    cpu_ms: float
    """User and system, a picture."""

    pictures_a_second: float
    peak_mib: float
    bytes_out: int
    files: Mapping[int, bytes]


def told(run: Run) -> str:
    return (
        f"{run.cpu_ms:.1f} ms CPU a picture, {run.pictures_a_second:.0f} a second, "
        f"{run.peak_mib:.0f} MiB, {run.bytes_out / 1e6:.1f} MB"
    )


def page(found: Mapping[str, list[Run]], pictures: int, rounds: int) -> str:
    cpu = {name: median(run.cpu_ms for run in runs) for name, runs in found.items()}
    size = {name: runs[0].bytes_out for name, runs in found.items()}
    lines = [
        f"| {name} | {cpu[name]:.1f} | {cpu[name] / cpu[OURS]:.2f} | "
        f"{median(run.pictures_a_second for run in runs):.0f} | {max(run.peak_mib for run in runs):.0f} | "
        f"{size[name] / pictures / 1000:.1f} | {size[name] / size[LOOP]:.3f} | {score(runs[0]):.1f} |"
        for name, runs in found.items()
    ]
    settings = {"pictures": pictures, "rounds": rounds, "quality": QUALITY, "scored": SCORED}
    return PAGE.format(**settings, table="\n".join(lines), machine=machine())


def machine() -> str:
    linux, python = platform.release().partition("-")[0], platform.python_version()
    peers = ", ".join(
        f"{name} {peer(name)}" for name in ("img2dataset", "opencv-python-headless", "httpx", "minio")
    )
    return (
        f"Machine: {os.cpu_count()} x {processor()}, Linux {linux}, Python {python}.\n"
        f"Pillow {version('pillow')} in all of them; {peers}."
    )


def score(run: Run) -> float:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drawn = folder / "drawn"
        subprocess.run(
            [PEERS / "bin" / "python", HERE / "peer_programs" / "draw.py", drawn, str(SCORED)], check=True
        )
        pairs: list[Path] = []
        for number, data in run.files.items():
            (folder / f"{number}.jpg").write_bytes(data)
            pairs += [drawn / f"{number:03}.jpg", folder / f"{number}.jpg"]
        return float(by_peers(HERE / "peer_programs" / "score.py", *pairs))


def peer(name: str) -> str:
    """The version that is installed for the peers."""
    return by_peers("-c", f"import importlib.metadata as m; print(m.version({name!r}))")


def by_peers(*words: str | Path) -> str:
    """What the peers' Python prints."""
    command = [str(word) for word in (PEERS / "bin" / "python", *words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def processor() -> str:
    told = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in told if line.startswith("model name")), "unknown")
