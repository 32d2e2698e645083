"""What `peers.py` measures, and the page that it writes of its runs."""

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median

from imagebatch_testing import corpus

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / "build" / "peers"
QUALITY = 45
SCORED = 6
SMALLER = 800
OURS, LOOP, OPTIMIZED, IMG2DATASET, VIPS = "ImageBatch", "loop", "loop, optimize", "img2dataset", "curl, vips"
PAGE = """\
# What a picture costs, beside what one would pick instead

Written by `python benchmarks/peers.py`: links to pictures, drawn ones of 1200 x 980 where nothing else is
said, to JPEG of quality {quality}, {rounds} rounds in turn. CPU is that of the whole process tree, the median
of the rounds; memory the most that the tree held at once. nginx and SeaweedFS run on the same machine and
are counted for nobody. Likeness is SSIMULACRA2 to the source, the mean of {scored}. img2dataset and `vips`
write files; the others store on S3. Only ImageBatch checks the addresses that it connects to, bounds what a
picture may take, and decodes in processes whose crash costs one picture.

{tasks}
## Two cores beside one

The first task with everything (nginx and SeaweedFS too) confined to one core, and on all {cores}, in turn:
ImageBatch does {rate[one]:.0f} and {rate[all]:.0f} pictures a second, {ratio:.2f} times as many. A picture
takes it {cpu[one]:.1f} and {cpu[all]:.1f} ms CPU.

{machine}
"""
TASK = """\
## {title}

{pictures} links.{remark}

| program | CPU ms | of ImageBatch's | pictures/s | peak MiB | KB out | of the loop's | likeness |
|---|---|---|---|---|---|---|---|
{table}
"""


PHOTOGRAPHS = (
    "orientation/Landscape_1.jpg", "orientation/Portrait_1.jpg", "pillow/exif-72dpi-int.jpg",
    "pillow/exif_gps_typeerror.jpg", "pillow/flower2.jpg", "pillow/junk_jpeg_header.jpg",
    "pillow/sugarshack_bad_mpo_header.jpg", "pillow/xmp_test.jpg",
)  # fmt: skip
"""In the corpus: of exif-orientation-examples (Dave Perrett) and of Pillow's tests."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked of the programs: of pictures of one format a JPEG, made smaller to a width or not."""

    name: str
    title: str
    extension: str
    programs: tuple[str, ...]
    pictures: int = 600
    made_wide: int | None = None
    are_photographs: bool = False
    options: Mapping[str, int] = field(default_factory=dict)
    loop_words: tuple[str, ...] = ()
    remark: str = ""


TASKS = (
    Task(
        "jpeg",
        "JPEG (quality 90, 4:2:0) to JPEG",
        "jpg",
        (OURS, LOOP, OPTIMIZED, IMG2DATASET, VIPS),
        pictures=1200,
        remark=" `vips` is one process a picture, two at a time.",
    ),
    Task(
        "photographs",
        "Photographs, JPEG to JPEG",
        "jpg",
        (OURS, LOOP, OPTIMIZED, IMG2DATASET),
        are_photographs=True,
        remark=" Eight of other people's, of 0.07 to 2.2 megapixels and quality 60 to 99, in turn.",
    ),
    Task("png", "PNG to JPEG", "png", (OURS, LOOP)),
    Task("webp", "WebP (quality 90) to JPEG", "webp", (OURS, LOOP)),
    Task(
        "resize",
        f"JPEG made {SMALLER} wide",
        "jpg",
        (OURS, LOOP),
        made_wide=SMALLER,
        options={"maxWidth": SMALLER},
        loop_words=("--width", str(SMALLER)),
        remark=" The loop makes them smaller as Pillow's tutorial does, by `thumbnail`, whose filter is "
        "bicubic; ImageBatch's is Lanczos's, which is sharper and takes more bytes.",
    ),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One program's run over all pictures."""

    cpu_ms: float
    """User and system, a picture."""

    pictures_a_second: float
    peak_mib: float
    bytes_out: int
    files: Mapping[int, bytes]


Found = dict[str, list[Run]]
"""The runs of each program."""


Cores = dict[str, list[Run]]
"""ImageBatch's runs on `one` core and on `all`."""


def told(run: Run) -> str:
    return (
        f"{run.cpu_ms:.1f} ms CPU a picture, {run.pictures_a_second:.0f} a second, "
        f"{run.peak_mib:.0f} MiB, {run.bytes_out / 1e6:.1f} MB"
    )


def page(found: Mapping[str, Found], cores: Cores, rounds: int) -> str:
    tasks = [task for task in TASKS if task.name in found]
    rate = {name: median(run.pictures_a_second for run in runs) for name, runs in cores.items()}
    cpu = {name: median(run.cpu_ms for run in runs) for name, runs in cores.items()}
    return PAGE.format(
        quality=QUALITY,
        rounds=rounds,
        scored=SCORED,
        tasks="\n".join(section(task, found[task.name]) for task in tasks),
        rate=rate,
        cpu=cpu,
        ratio=rate["all"] / rate["one"],
        cores=os.cpu_count(),
        machine=machine(),
    )


def section(task: Task, found: Found) -> str:
    cpu = {name: median(run.cpu_ms for run in runs) for name, runs in found.items()}
    size = {name: runs[0].bytes_out for name, runs in found.items()}
    lines = [
        f"| {name} | {cpu[name]:.1f} | {cpu[name] / cpu[OURS]:.2f} | "
        f"{median(run.pictures_a_second for run in runs):.0f} | {max(run.peak_mib for run in runs):.0f} | "
        f"{size[name] / task.pictures / 1000:.1f} | {size[name] / size[LOOP]:.3f} | {score(task, runs[0])} |"
        for name, runs in found.items()
    ]
    return TASK.format(title=task.title, pictures=task.pictures, remark=task.remark, table="\n".join(lines))


def machine() -> str:
    linux, python = platform.release().partition("-")[0], platform.python_version()
    peers = ", ".join(
        f"{name} {peer(name)}" for name in ("img2dataset", "opencv-python-headless", "httpx", "minio")
    )
    return (
        f"Machine: {os.cpu_count()} x {processor()}, Linux {linux}, Python {python}.\n"
        f"Pillow {version('pillow')} in all of them; {peers}."
    )


def score(task: Task, run: Run) -> str:
    """A dash where the size is another than the source's."""
    if task.made_wide:
        return "-"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = sources_of(task, folder / "sources", SCORED)
        pairs: list[Path] = []
        for number, data in run.files.items():
            (folder / f"{number}.jpg").write_bytes(data)
            pairs += [sources[number], folder / f"{number}.jpg"]
        return f"{float(by_peers(HERE / 'peer_programs' / 'score.py', *pairs)):.1f}"


def sources_of(task: Task, folder: Path, count: int) -> list[Path]:
    """So many pictures in a new folder, or as many as there are."""
    if task.are_photographs:
        found = corpus.folder()
        assert found is not None
        folder.mkdir()
        for number, photograph in enumerate(PHOTOGRAPHS[:count]):
            shutil.copy(found / photograph, folder / f"{number:03}.{task.extension}")
    else:
        by_peers(HERE / "peer_programs" / "draw.py", folder, str(count), task.extension)
    return sorted(folder.iterdir())


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
