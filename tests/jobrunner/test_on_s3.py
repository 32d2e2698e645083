"""The whole program against a real S3 server."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

import psutil
import pytest
from PIL import Image

from imagebatch.batch.exit_codes import Exit
from imagebatch.batch.plan import Dialect, Plan, ShardRange
from imagebatch.batch.shard import Report, read_fragment
from imagebatch.csv import rows
from imagebatch.settings import S3Settings
from imagebatch.storage import keys
from imagebatch.storage.s3 import S3Store
from imagebatch.storage.store import CSV, JSON
from imagebatch_testing import confined, mixed
from imagebatch_testing.findings import Finding
from imagebatch_testing.http_proxy import SLOW_DOWN, proxied
from imagebatch_testing.mixed import MIB, Mix
from imagebatch_testing.waiting import until
from imagebatch_testing.web import Page, Web, serving

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

Encode = Callable[..., bytes]


@pytest.fixture
def s3_settings(servers: Any) -> S3Settings:
    settings = servers.s3
    assert isinstance(settings, S3Settings)
    return settings


def environment(s3: S3Settings, web: Web) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "IMAGEBATCH_S3_ENDPOINT": s3.s3_endpoint,
        "IMAGEBATCH_S3_BUCKET": s3.s3_bucket,
        "IMAGEBATCH_S3_ADDRESSING": s3.s3_addressing,
        "IMAGEBATCH_S3_ACCESS_KEY": s3.s3_access_key,
        "IMAGEBATCH_S3_SECRET_KEY": s3.s3_secret_key.get_secret_value(),
        "IMAGEBATCH_ALLOWED_NETWORKS": web.host,
        "IMAGEBATCH_REQUEST_ID": "r1",
        "IMAGEBATCH_CODEC_PROCESSES": "2",
        "JOB_COMPLETION_INDEX": "0",
    }


def plan(store: S3Store, cells: list[str]) -> None:
    records = [rows.record([str(row), "Chair", cell]).encode() for row, cell in enumerate(cells, start=1)]
    head = rows.record(rows.COLUMNS).encode()
    stored = store.put(keys.canonical_input("r1"), head + b"".join(records), CSV)
    only = ShardRange(len(head), sum(map(len, records)), 1, len(cells), len(cells))
    etag = stored.etag.strip('"')
    store.put(keys.plan("r1"), Plan(etag, len(cells), len(cells), Dialect(), (only,)).to_json(), JSON)


@pytest.mark.timeout(240)
async def test_thumbnails_among_pictures_at_the_limit_stay_within_the_documented_memory(
    s3_store: S3Store, s3_settings: S3Settings
) -> None:
    """Four transparent pictures at once would take twice the memory that pictures are given."""
    mix = Mix(thumbnails=200, large=4, side=2200)
    pictures, in_flight = 216 * MIB, 48 * MIB
    async with serving({path: Page(data) for path, data in mixed.files(mix).items()}) as web:
        wanted = mixed.links(mix, web.url(""))
        plan(s3_store, wanted)
        limits = {
            "IMAGEBATCH_CODEC_PROCESSES": "4",
            "IMAGEBATCH_MAX_PIXELS": str(mix.side**2),
            "IMAGEBATCH_PICTURE_BYTES_IN_FLIGHT": str(pictures),
            "IMAGEBATCH_BYTES_IN_FLIGHT": str(in_flight),
        }
        limit = mixed.documented_limit(4, pictures, in_flight)
        ran = await confined.run(
            [sys.executable, "-m", "imagebatch_jobrunner"], {**environment(s3_settings, web), **limits}, limit
        )
    report = Report.from_json(s3_store.get(keys.report("r1", 1, 0)))
    assert (ran.code, report.counts.succeeded, report.errors) == (Exit.DONE, len(wanted), {})
    assert ran.peak_bytes <= limit


async def started(variables: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "imagebatch_jobrunner", env=variables)


async def test_a_shard_is_done_on_a_real_s3(
    s3_store: S3Store, s3_settings: S3Settings, encode: Encode, photo: Image.Image
) -> None:
    async with serving({"/chair.jpg": Page(encode(photo, "JPEG", quality=90))}) as web:
        plan(s3_store, [f"{web.url(f'/chair.jpg?{number}')},{web.url('/gone')}" for number in range(20)])
        process = await started(environment(s3_settings, web))
        assert await process.wait() == Exit.DONE
    report = Report.from_json(s3_store.get(keys.report("r1", 1, 0)))
    assert (report.counts.succeeded, report.counts.failed) == (20, 20)
    with s3_store.open(report.fragment) as chunks:
        names = [outcome.name for outcome in read_fragment(chunks) if outcome.name]
    stored = [stored.key.rpartition("/")[2] for stored in s3_store.list(keys.image_prefix("r1"))]
    assert stored == names


COUNTING = """
import sys
calls = modules = 0
def count(frame, event, argument):
    global calls, modules
    calls += event == "call"
    if not modules and frame.f_code.co_name == "acquire" and frame.f_globals["__name__"] == "imagebatch.net.http.pool":
        modules = sum(module.partition(".")[0] not in {OPTIONAL} for module in sys.modules)
from imagebatch_jobrunner.main import main
sys.setprofile(count)
code = main()
sys.setprofile(None)
print(calls, modules, *(name for name in {HEAVY} if name in sys.modules))
sys.exit(code)
"""
OPTIONAL = {"attr", "click", "markdown_it", "mdurl", "pygments", "rich"}
"""What httpx and structlog import where it happens to be installed."""

HEAVY = ("Crypto", "PIL", "argon2", "kubernetes", "minio", "sqlalchemy", "urllib3")
MOST_MODULES = 490
MOST_CALLS_A_PICTURE = 1130


async def counted(variables: dict[str, str]) -> "tuple[int, int, list[str]]":
    """Python calls of a whole shard in the parent, modules before its first GET, and heavy ones at its end."""
    program = COUNTING.replace("{OPTIONAL}", repr(OPTIONAL)).replace("{HEAVY}", repr(HEAVY))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, env=variables, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    assert process.returncode == Exit.DONE
    calls, modules, *heavy = told.decode().split()
    return int(calls), int(modules), heavy


async def test_the_parent_makes_no_more_calls_for_a_picture_and_loads_no_more_than_it_did(
    s3_store: S3Store, s3_settings: S3Settings, encode: Encode, photo: Image.Image
) -> None:
    """Counted, so that no other program changes it: the difference of a long shard to a short one."""
    found = []
    async with serving({"/chair.jpg": Page(encode(photo, "JPEG", quality=90))}) as web:
        for attempt, pictures in ((1, 10), (2, 110)):
            plan(s3_store, [web.url(f"/chair.jpg?{attempt}-{number}") for number in range(pictures)])
            found.append(await counted({**environment(s3_settings, web), "IMAGEBATCH_RUN": f"run{attempt}"}))
            s3_store.delete([found.key for found in s3_store.list(keys.attempt_prefix("r1", 1))])
    (short, modules, heavy), (long, *_) = found
    assert heavy == []
    assert 0 < modules <= MOST_MODULES
    assert (long - short) / 100 <= MOST_CALLS_A_PICTURE, (short, long)


async def test_a_busy_bucket_costs_no_download(
    s3_store: S3Store,
    s3_settings: S3Settings,
    encode: Encode,
    photo: Image.Image,
    finding: Finding,
) -> None:
    """A third of the puts of images are refused; each image is downloaded once, whatever becomes of its put."""
    images, puts = 60, count()
    async with (
        serving({"/chair.jpg": Page(encode(photo, "JPEG", quality=90))}) as web,
        proxied(s3_settings.s3_endpoint) as proxy,
    ):

        def refuses(method: str, path: str) -> bytes | None:
            is_one = method == "PUT" and "/images/" in path and next(puts) % 3 == 0
            return SLOW_DOWN if is_one else None

        proxy.refuses = refuses
        plan(s3_store, [web.url(f"/chair.jpg?{number}") for number in range(images)])
        through = s3_settings.model_copy(update={"s3_endpoint": proxy.url})
        process = await started(environment(through, web))
        assert await process.wait() == Exit.DONE
        assert web.requests.total() == images
        assert len(proxy.refused) > images / 4
    report = Report.from_json(s3_store.get(keys.report("r1", 1, 0)))
    assert (report.counts.succeeded, report.counts.failed) == (images, 0)
    finding(
        "S3: 503 SlowDown for a third of the puts of images",
        times=len(proxy.refused),
        links=images,
        lost=images - report.counts.succeeded,
        again=web.requests.total() - images,
    )


IMAGES = 500
MOST_AGAIN = {signal.SIGKILL: IMAGES // 20, signal.SIGTERM: 20}
"""After SIGTERM only what was downloaded and not stored yet."""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
async def test_who_comes_after_a_kill_goes_on_where_it_stopped(
    s3_store: S3Store,
    s3_settings: S3Settings,
    encode: Encode,
    photo: Image.Image,
    how: signal.Signals,
    part: float,
    finding: Finding,
) -> None:
    async with serving({"/chair.jpg": Page(encode(photo, "JPEG", quality=90))}) as web:
        plan(s3_store, [web.url(f"/chair.jpg?{number}") for number in range(IMAGES)])
        process = await started({**environment(s3_settings, web), "IMAGEBATCH_RUN": "killed"})
        await until(lambda: web.requests.total() >= IMAGES * part)
        process.send_signal(how)
        assert await process.wait() != Exit.DONE
        assert s3_store.head(keys.report("r1", 1, 0)) is None
        process = await started({**environment(s3_settings, web), "IMAGEBATCH_RUN": "successor"})
        assert await process.wait() == Exit.DONE
        assert IMAGES <= web.requests.total() <= IMAGES + MOST_AGAIN[how]
    report = Report.from_json(s3_store.get(keys.report("r1", 1, 0)))
    assert (report.run, report.counts.succeeded) == ("successor", IMAGES)
    with s3_store.open(report.fragment) as chunks:
        assert [one.row for one in read_fragment(chunks)] == list(range(1, IMAGES + 1))
    finding(
        f"a jobrunner of a shard of {IMAGES}: {how.name} at {part:.0%}",
        times=1,
        links=IMAGES,
        lost=IMAGES - report.counts.succeeded,
        again=web.requests.total() - IMAGES,
    )


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_its_codec_processes_end_with_it(
    s3_store: S3Store, s3_settings: S3Settings, encode: Encode, photo: Image.Image, how: signal.Signals
) -> None:
    asked = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()

    async with serving({"/x": silent, "/chair.jpg": Page(encode(photo, "JPEG", quality=90))}) as web:
        plan(s3_store, [*(web.url(f"/chair.jpg?{number}") for number in range(40)), web.url("/x")])
        process = await started(environment(s3_settings, web))
        await asked.wait()
        parent = psutil.Process(process.pid)
        await until(lambda: len(parent.children()) == 2)
        children = parent.children()
        process.send_signal(how)
        assert await process.wait() == (Exit.TERMINATED if how == signal.SIGTERM else -signal.SIGKILL)
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, timeout=10)
    assert alive == []
