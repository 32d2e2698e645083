"""A whole shard against a store in memory: `process_images`."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from PIL import Image

from imagebatch.batch import shard
from imagebatch.batch.plan import Dialect, Plan, ShardRange
from imagebatch.batch.shard import Progress, Report, ShardId
from imagebatch.csv import rows
from imagebatch.errors import SettingsError, StoreError
from imagebatch.net.guard import AddressPolicy
from imagebatch.options import Compression
from imagebatch.outcome import Counts, ErrorCode, ImageOutcome
from imagebatch.settings import read
from imagebatch.storage import keys
from imagebatch.storage.store import CSV, JSON, Media, Stored
from imagebatch_jobrunner.codec.pool import CodecPool
from imagebatch_jobrunner.download.budget import ByteBudget
from imagebatch_jobrunner.download.fetch import Fetcher, image_client
from imagebatch_jobrunner.errors import PoisonShardError
from imagebatch_jobrunner.limits import CodecLimits, FetchLimits, PictureLimits
from imagebatch_jobrunner.progress import Pace
from imagebatch_jobrunner.services import Services
from imagebatch_jobrunner.settings import JobrunnerSettings
from imagebatch_jobrunner.shard_run import ShardRun, process_images
from imagebatch_testing.memory_store import MemoryStore
from imagebatch_testing.web import Page, Web, serving

pytestmark = pytest.mark.anyio

Encode = Callable[..., bytes]
REQUEST_ID = "11111111-2222-3333-4444-555555555555"
HEAD = rows.record(rows.COLUMNS).encode()


def planned(store: MemoryStore, cells: Sequence[str], rows_per_shard: int = 100) -> Plan:
    """Put the canonical CSV with these cells of links, and its plan."""
    records = [
        rows.record([str(row), f"Chair, no. {row}", cell]).encode() for row, cell in enumerate(cells, start=1)
    ]
    stored = store.put(keys.canonical_input(REQUEST_ID), HEAD + b"".join(records), CSV)
    ranges = []
    for first in range(0, len(records), rows_per_shard):
        part = records[first : first + rows_per_shard]
        offset = len(HEAD) + sum(map(len, records[:first]))
        ranges.append(ShardRange(offset, sum(map(len, part)), first + 1, len(part), 1))
    plan = Plan(stored.etag, len(records), len(records), Dialect(), tuple(ranges))
    store.put(keys.plan(REQUEST_ID), plan.to_json(), JSON)
    return plan


@asynccontextmanager
async def some_services() -> AsyncIterator[Services]:
    limits = FetchLimits(backoff_s=0.0)
    async with (
        image_client(AddressPolicy.parse("127.0.0.1/32"), limits) as http,
        CodecPool(CodecLimits(processes=1), PictureLimits()) as codecs,
    ):
        yield Services(
            fetcher=Fetcher(http, limits), codecs=codecs, budget=ByteBudget(1 << 26), options=Compression()
        )


def no_services() -> AbstractAsyncContextManager[Services]:
    raise AssertionError("nothing was to be done")


def a_run(index: int = 0, run: str = "run-1", window: int = 16, pace: Pace = Pace()) -> ShardRun:  # noqa: B008 - frozen
    return ShardRun(
        shard=ShardId(REQUEST_ID, 1, index), run=run, window=window, store_patience_s=0.0, pace=pace
    )


def report_of(store: MemoryStore, index: int = 0) -> Report:
    return Report.from_json(store.get(keys.report(REQUEST_ID, 1, index)))


def outcomes_of(store: MemoryStore, index: int = 0) -> list[ImageOutcome]:
    return list(shard.read_fragment([store.get(report_of(store, index).fragment)]))


@pytest.fixture
async def web(encode: Encode, photo: Image.Image) -> AsyncIterator[Web]:
    routes = {
        "/chair.jpg": Page(encode(photo, "JPEG", quality=90)),
        "/a,b.png": Page(encode(photo, "PNG")),
        "/login": Page(b"<!doctype html><title>Sign in</title>", headers={"Content-Type": "image/jpeg"}),
        "/half.jpg": Page(encode(photo, "JPEG")[:900]),
    }
    async with serving(routes) as server:
        yield server


async def test_a_shard_with_all_kinds_of_failures_keeps_order_and_counts(
    store: MemoryStore, web: Web
) -> None:
    cells = [
        f"{web.url('/chair.jpg')},{web.url('/missing.jpg')}",
        "",
        f"not a link,\n{web.url('/a,b.png')}",
        f"http://user:pw@{web.host}/x.jpg",
        f"http://10.1.2.3/x.jpg,{web.url('/login')},{web.url('/half.jpg')},{web.url('/chair.jpg?v=2')}",
    ]
    planned(store, cells)
    await process_images(a_run(), store, some_services)
    outcomes = outcomes_of(store)
    assert [(one.row, one.slot, one.error) for one in outcomes] == [
        (1, 1, None),
        (1, 2, ErrorCode.HTTP_STATUS),
        (3, 1, ErrorCode.INVALID_URL),
        (3, 2, None),
        (4, 1, ErrorCode.CREDENTIALS_IN_URL),
        (5, 1, ErrorCode.ADDRESS_FORBIDDEN),
        (5, 2, ErrorCode.NOT_AN_IMAGE),
        (5, 3, ErrorCode.TRUNCATED),
        (5, 4, None),
    ]
    report = report_of(store)
    assert (report.rows, report.counts.total, report.counts.succeeded, report.counts.failed) == (5, 9, 3, 6)
    assert report.errors == {str(one.error): 1 for one in outcomes if one.error}
    assert report.counts.bytes_out == sum(one.bytes_out for one in outcomes)
    assert report.run == "run-1"


async def test_images_are_stored_under_their_names_and_the_report_last(store: MemoryStore, web: Web) -> None:
    planned(store, [web.url("/chair.jpg"), web.url("/a,b.png")])
    await process_images(a_run(), store, some_services)
    first, second = outcomes_of(store)
    key = keys.image_prefix(REQUEST_ID) + "0000001-001.jpg"
    assert (first.name, second.name) == ("0000001-001.jpg", "0000002-001.jpg")
    assert store.media(key) == Media.image("image/jpeg")
    with Image.open(io.BytesIO(store.get(key))) as image:
        assert (image.size, len(store.get(key))) == ((first.width, first.height), first.bytes_out)
    assert (first.source_format, first.source_quality, first.quality) == ("jpeg", 90, 45)
    fragment = keys.fragment(REQUEST_ID, 1, 0, "run-1")
    assert store.writes[-2:] == [fragment, keys.report(REQUEST_ID, 1, 0)]


async def test_a_shard_numbers_rows_over_the_whole_file(store: MemoryStore, web: Web) -> None:
    planned(store, [web.url("/chair.jpg")] * 5, rows_per_shard=2)
    await process_images(a_run(index=1), store, some_services)
    assert [(one.row, one.name) for one in outcomes_of(store, 1)] == [
        (3, "0000003-001.jpg"),
        (4, "0000004-001.jpg"),
    ]


async def test_the_same_link_is_fetched_once_and_stored_under_each_name(store: MemoryStore, web: Web) -> None:
    planned(store, [f"{web.url('/chair.jpg')},{web.url('/gone')}"] * 3)
    await process_images(a_run(), store, some_services)
    assert (web.requests["/chair.jpg"], web.requests["/gone"]) == (1, 1)
    outcomes = outcomes_of(store)
    assert [one.succeeded for one in outcomes] == [True, False] * 3
    images = [store.get(stored.key) for stored in store.list(keys.image_prefix(REQUEST_ID))]
    assert len(images) == 3
    assert len(set(images)) == 1


async def test_a_report_that_exists_means_nothing_is_done(store: MemoryStore) -> None:
    report = Report("earlier", "fragment", 1, Counts())
    shard.commit(store, ShardId(REQUEST_ID, 1, 0), report)
    await process_images(a_run(), store, no_services)
    assert report_of(store) == report
    assert len(store.writes) == 1


async def test_of_two_runs_of_a_shard_the_first_report_stands(store: MemoryStore, web: Web) -> None:
    planned(store, [web.url("/chair.jpg")])
    both = (process_images(a_run(run=run), store, some_services) for run in ("one", "two"))
    await asyncio.gather(*both)
    assert store.writes.count(keys.report(REQUEST_ID, 1, 0)) == 1
    assert keys.fragment(REQUEST_ID, 1, 0, report_of(store).run) == report_of(store).fragment


async def test_a_shard_without_links_is_done_too(store: MemoryStore) -> None:
    planned(store, ["", ""])
    await process_images(a_run(), store, some_services)
    assert outcomes_of(store) == []
    assert report_of(store).rows == 2


async def test_progress_is_told_no_more_often_than_wished(store: MemoryStore, web: Web) -> None:
    planned(store, [web.url(f"/missing{number}") for number in range(10)])
    await process_images(a_run(window=1, pace=Pace(seconds=0, images=4)), store, some_services)
    key = keys.progress(REQUEST_ID, 1, 0)
    assert store.writes.count(key) == 1 + 2  # before the first download, then each four
    assert Progress.from_json(store.get(key)) == Progress("run-1", Counts(8, 0, 8), errors={"http_status": 8})


async def test_progress_is_told_though_the_next_image_hangs(store: MemoryStore, web: Web) -> None:
    told = asyncio.Event()

    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await told.wait()

    web.routes["/hanging.jpg"] = hang
    planned(store, [web.url("/missing"), web.url("/hanging.jpg")])
    running = asyncio.create_task(
        process_images(a_run(pace=Pace(seconds=0.5, images=1)), store, some_services)
    )
    async with asyncio.timeout(30):
        while store.writes.count(keys.progress(REQUEST_ID, 1, 0)) < 2:  # noqa: ASYNC110 - the store knows
            await asyncio.sleep(0.01)
    told.set()
    await running
    assert Progress.from_json(store.get(keys.progress(REQUEST_ID, 1, 0))).counts == Counts(1, 0, 1)


async def test_progress_waits_for_its_time_however_many_images(store: MemoryStore, web: Web) -> None:
    planned(store, [web.url(f"/missing{number}") for number in range(10)])
    await process_images(a_run(pace=Pace(seconds=5, images=1, clock=lambda: 0.0)), store, some_services)
    assert store.writes.count(keys.progress(REQUEST_ID, 1, 0)) == 1  # before the first download


@pytest.mark.parametrize(
    "missing", [keys.plan(REQUEST_ID), keys.canonical_input(REQUEST_ID)], ids=["plan", "input"]
)
async def test_input_that_is_gone_makes_a_poison_shard(store: MemoryStore, missing: str) -> None:
    planned(store, ["http://x.test/1"])
    store.delete([missing])
    with pytest.raises(PoisonShardError):
        await process_images(a_run(), store, no_services)


async def test_input_that_was_changed_makes_a_poison_shard(store: MemoryStore) -> None:
    planned(store, ["http://x.test/1"])
    store.put(keys.canonical_input(REQUEST_ID), HEAD + b"1,Chair,http://x.test/2\n", CSV)
    with pytest.raises(PoisonShardError, match="changed"):
        await process_images(a_run(), store, no_services)


@pytest.mark.parametrize("text", [b"{}", b"not json", b'{"version": 99}'])
async def test_an_unreadable_plan_makes_a_poison_shard(store: MemoryStore, text: bytes) -> None:
    store.put(keys.plan(REQUEST_ID), text, JSON)
    with pytest.raises(PoisonShardError):
        await process_images(a_run(), store, no_services)


async def test_a_shard_that_the_plan_does_not_know_is_poison(store: MemoryStore) -> None:
    planned(store, ["http://x.test/1"])
    with pytest.raises(PoisonShardError, match="none is 7"):
        await process_images(a_run(index=7), store, no_services)


async def test_rows_that_are_not_as_planned_make_a_poison_shard(store: MemoryStore) -> None:
    plan = planned(store, ["", ""])
    (only,) = plan.shards
    wrong = ShardRange(only.offset, only.length, 1, 3, 0)
    store.put(keys.plan(REQUEST_ID), Plan(plan.etag, 3, 0, Dialect(), (wrong,)).to_json(), JSON)
    with pytest.raises(ExceptionGroup) as caught:
        await process_images(a_run(), store, some_services)
    assert caught.group_contains(PoisonShardError, match="2 rows; its plan says 3")
    assert keys.report(REQUEST_ID, 1, 0) not in store.writes


async def test_a_slow_host_with_many_links_keeps_no_other_host_waiting(encode: Encode) -> None:
    """Its links fill more than the window, and it answers only when the other host's images are all done."""
    data = encode(Image.new("RGB", (40, 30), "teal"), "JPEG", quality=95)
    others_done = asyncio.Event()

    async def slow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await others_done.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data))
        await writer.drain()

    class Watched(MemoryStore):
        def put(self, key: str, data: bytes, media: Media, *, only_if_absent: bool = False) -> Stored:
            if key.endswith("0000050-001.jpg"):
                loop.call_soon_threadsafe(others_done.set)
            return super().put(key, data, media, only_if_absent=only_if_absent)

    loop = asyncio.get_running_loop()
    watched = Watched()
    async with serving({f"/{number}": slow for number in range(40)}) as web, serving() as fast:
        fast.routes |= {f"/{number}": Page(data) for number in range(10)}
        slow_links = [web.url(f"/{number}") for number in range(40)]
        planned(watched, [*slow_links, *(fast.url(f"/{number}") for number in range(10))])
        await process_images(a_run(window=16), watched, some_services)
    outcomes = outcomes_of(watched)
    assert [one.row for one in outcomes] == list(range(1, 51))
    assert all(one.succeeded for one in outcomes)


class FullStore(MemoryStore):
    """A store that takes no images."""

    def put(self, key: str, data: bytes, media: Media, *, only_if_absent: bool = False) -> Stored:
        if key.startswith(keys.IMAGES):
            raise StoreError("S3: the disk is full")
        return super().put(key, data, media, only_if_absent=only_if_absent)


async def test_an_error_of_the_store_is_the_shards_and_not_the_images(web: Web) -> None:
    store = FullStore()
    planned(store, [web.url("/chair.jpg")] * 3)
    with pytest.raises(ExceptionGroup) as caught:
        await process_images(a_run(), store, some_services)
    assert caught.group_contains(StoreError, match="full")
    assert keys.report(REQUEST_ID, 1, 0) not in store.writes


async def test_a_later_attempt_does_again_only_what_failed(encode: Encode, store: MemoryStore) -> None:
    data = encode(Image.new("RGB", (40, 30), "teal"), "JPEG", quality=95)
    async with serving({"/1.jpg": Page(data)}) as web:
        planned(store, [web.url("/1.jpg"), web.url("/2.jpg")])
        await process_images(a_run(), store, some_services)
        web.routes["/2.jpg"] = Page(data)
        web.requests.clear()
        later = ShardRun(shard=ShardId(REQUEST_ID, 2, 0), run="run-2")
        await process_images(later, store, some_services)
        assert dict(web.requests) == {"/2.jpg": 1}
    report = shard.read_report(store, later.shard)
    assert report is not None
    assert (report.counts.succeeded, report.counts.failed) == (2, 0)


@pytest.mark.parametrize(("parallelism", "share"), [("1", 12), ("4", 3), ("5", 2), ("100", 1)])
def test_shards_that_run_at_once_share_the_limit_for_one_host(
    monkeypatch: pytest.MonkeyPatch, parallelism: str, share: int
) -> None:
    for name, value in {
        "IMAGEBATCH_S3_BUCKET": "b", "IMAGEBATCH_REQUEST_ID": "r1", "JOB_COMPLETION_INDEX": "0",
        "IMAGEBATCH_PER_HOST_CONNECTIONS": "12", "IMAGEBATCH_PARALLELISM": parallelism,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert read(JobrunnerSettings).fetch_limits.per_host == share


def test_a_job_over_some_shards_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "IMAGEBATCH_S3_BUCKET": "b", "IMAGEBATCH_REQUEST_ID": "r1", "IMAGEBATCH_SHARDS": "2,7-9",
        "JOB_COMPLETION_INDEX": "2",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    assert read(JobrunnerSettings).shard_id == ShardId("r1", 1, 8)
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "4")
    with pytest.raises(SettingsError, match="JOB_COMPLETION_INDEX is 4"):
        read(JobrunnerSettings)
