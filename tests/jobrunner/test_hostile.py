"""Hosts that mean harm: every one of them costs its own image, within its limits, and nothing else."""

import asyncio
import gzip
import itertools
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address

import pytest
from PIL import Image

from imagebatch.batch import shard
from imagebatch.batch.plan import Dialect, Plan, ShardRange
from imagebatch.batch.shard import Report, ShardId
from imagebatch.csv import rows
from imagebatch.net.guard import Address, AddressPolicy
from imagebatch.net.http.dial import Lookups
from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch.storage import keys
from imagebatch.storage.store import CSV, JSON
from imagebatch_jobrunner.codec.pool import CodecPool
from imagebatch_jobrunner.download.budget import ByteBudget
from imagebatch_jobrunner.download.fetch import Fetcher, image_client
from imagebatch_jobrunner.errors import FetchError
from imagebatch_jobrunner.limits import CodecLimits, FetchLimits, PictureLimits
from imagebatch_jobrunner.services import Services
from imagebatch_jobrunner.shard_run import ShardRun, process_images
from imagebatch_testing.certificates import Authority
from imagebatch_testing.memory_store import MemoryStore
from imagebatch_testing.web import Handler, Page, Route, Web, reset, serving

pytestmark = pytest.mark.anyio

Encode = Callable[..., bytes]
Writer = asyncio.StreamWriter

MIB = 1 << 20
LIMITS = FetchLimits(max_bytes=MIB, total_s=30.0, backoff_s=0.0)
HURRIED = FetchLimits(max_bytes=MIB, total_s=1.0, backoff_s=0.0)
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = bytes(100 * MIB)
REQUEST_ID = "11111111-2222-3333-4444-555555555555"


def endless(start: bytes, more: bytes, pause_s: float = 0.0) -> Handler:
    """Sends `start` and then `more` for ever, as fast as it is taken, or with pauses."""

    async def handler(_: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(start)
        while True:
            writer.write(more)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return handler


def once(answer: bytes) -> Handler:
    """Sends `answer`, and ends."""

    async def handler(_: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(answer)
        await writer.drain()

    return handler


async def reset_in_the_middle(_: asyncio.StreamReader, writer: Writer) -> None:
    writer.write(HEAD + b"Content-Length: 100000\r\n\r\n" + bytes(50_000))
    await writer.drain()
    reset(writer)


async def silent(reader: asyncio.StreamReader, _: Writer) -> None:
    await reader.read()


async def refuse_tls(reader: asyncio.StreamReader, writer: Writer) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


def encoded(body: bytes, encoding: str) -> Page:
    return Page(body, headers={"Content-Encoding": encoding})


def moved(location: str) -> Page:
    return Page(status=302, headers={"Location": location, "Connection": "close"})


SLOW: dict[str, Route] = {
    "/silent": silent,
    "/drip-head": endless(HEAD + b"X-Slow: ", b"z", 0.005),
    "/drip-body": endless(HEAD + b"Content-Length: 1000000\r\n\r\n", b"z", 0.005),
    "/drip-chunks": endless(CHUNKED, b"1\r\nz\r\n", 0.005),
    "/drip-1xx": endless(b"HTTP/1.1 102 Processing\r\nX: ", b"z", 0.005),
}
ROUTES: dict[str, tuple[Route, ErrorCode]] = {
    "/endless-body": (endless(HEAD + b"\r\n", bytes(65_536)), ErrorCode.TOO_LARGE),
    "/endless-chunks": (endless(CHUNKED, b"10000\r\n" + bytes(65_536) + b"\r\n"), ErrorCode.TOO_LARGE),
    "/declared-large": (once(HEAD + b"Content-Length: 99999999999999\r\n\r\n"), ErrorCode.TOO_LARGE),
    "/crumbs": (endless(CHUNKED, b"1\r\nz\r\n" * 1000), ErrorCode.DOWNLOAD_FAILED),
    "/lying-longer": (once(HEAD + b"Content-Length: 1000\r\n\r\nshort"), ErrorCode.DOWNLOAD_FAILED),
    "/two-lengths": (
        once(HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\ngoods"),
        ErrorCode.DOWNLOAD_FAILED,
    ),
    "/no-length": (once(HEAD + b"Content-Length: -1\r\n\r\nx"), ErrorCode.DOWNLOAD_FAILED),
    "/bad-chunk": (once(CHUNKED + b"zz\r\nx\r\n0\r\n\r\n"), ErrorCode.DOWNLOAD_FAILED),
    "/both": (
        once(HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ErrorCode.DOWNLOAD_FAILED,
    ),
    "/gzip-bomb": (encoded(gzip.compress(BOMB), "gzip"), ErrorCode.TOO_LARGE),
    "/deflate-bomb": (encoded(zlib.compress(BOMB), "deflate"), ErrorCode.TOO_LARGE),
    "/gzip-in-gzip": (encoded(gzip.compress(gzip.compress(BOMB)), "gzip, gzip"), ErrorCode.UNSUPPORTED_ENCODING),
    "/brotli-bomb": (encoded(b"\x1b\xff\xff\xff" * 1000, "br"), ErrorCode.UNSUPPORTED_ENCODING),
    "/zstd-bomb": (encoded(b"\x28\xb5\x2f\xfd" * 1000, "zstd"), ErrorCode.UNSUPPORTED_ENCODING),
    "/gzip-nothing": (
        endless(HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"")[:10], b"\x00\x00\x00\xff\xff" * 9999),
        ErrorCode.TOO_LARGE,
    ),
    "/circle": (moved("/circle"), ErrorCode.TOO_MANY_REDIRECTS),
    "/metadata": (moved("http://169.254.169.254/latest/meta-data"), ErrorCode.ADDRESS_FORBIDDEN),
    "/metadata6": (moved("http://[fd00:ec2::254]/latest"), ErrorCode.ADDRESS_FORBIDDEN),
    "/file": (moved("file:///etc/passwd"), ErrorCode.INVALID_URL),
    "/password": (moved("http://user:swordfish@shop.test/"), ErrorCode.CREDENTIALS_IN_URL),
    "/bad-location": (moved("http://[bad"), ErrorCode.INVALID_URL),
    "/moved-body": (
        endless(b"HTTP/1.1 302 Found\r\nLocation: /moved-body\r\n\r\n", bytes(65_536)),
        ErrorCode.TOO_MANY_REDIRECTS,
    ),
    "/many-headers": (once(HEAD + b"A: b\r\n" * 5000 + b"Content-Length: 0\r\n\r\n"), ErrorCode.DOWNLOAD_FAILED),
    "/huge-header": (once(HEAD + b"A: " + b"b" * 100_000 + b"\r\n\r\n"), ErrorCode.DOWNLOAD_FAILED),
    "/endless-header": (endless(HEAD + b"A: ", b"b" * 1000), ErrorCode.DOWNLOAD_FAILED),
    "/endless-headers": (endless(HEAD, b"A: b\r\n" * 1000), ErrorCode.DOWNLOAD_FAILED),
    "/endless-1xx": (endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"), ErrorCode.DOWNLOAD_FAILED),
    "/endless-trailers": (endless(CHUNKED + b"0\r\n", b"A: b\r\n" * 1000), ErrorCode.DOWNLOAD_FAILED),
    "/endless-chunk-line": (endless(CHUNKED + b"1;", b"a" * 1000), ErrorCode.DOWNLOAD_FAILED),
    "/switch": (
        once(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        ErrorCode.DOWNLOAD_FAILED,
    ),
    "/no-http": (once(b"220 smtp.example ESMTP\r\n"), ErrorCode.DOWNLOAD_FAILED),
    "/http2": (once(b"HTTP/2 200\r\n\r\n"), ErrorCode.DOWNLOAD_FAILED),
    "/nul": (once(HEAD + b"A\x00: b\r\n\r\n"), ErrorCode.DOWNLOAD_FAILED),
    "/reset": (reset_in_the_middle, ErrorCode.DOWNLOAD_FAILED),
    "/nothing": (once(b""), ErrorCode.DOWNLOAD_FAILED),
    "/moves": (moved("/good.jpg"), ErrorCode.ADDRESS_FORBIDDEN),
}  # fmt: skip
"""`/moves` is a redirect at a host whose name has another address at the second look-up."""

SPELLINGS: dict[str, tuple[ErrorCode, ...]] = {
    "127.0.0.1": (ErrorCode.ADDRESS_FORBIDDEN,),
    "2130706433": (ErrorCode.ADDRESS_FORBIDDEN, ErrorCode.DNS_FAILED),
    "017700000001": (ErrorCode.ADDRESS_FORBIDDEN, ErrorCode.DNS_FAILED),
    "0x7f000001": (ErrorCode.ADDRESS_FORBIDDEN, ErrorCode.DNS_FAILED),
    "127.1": (ErrorCode.ADDRESS_FORBIDDEN, ErrorCode.DNS_FAILED),
    "0177.0.0.1": (ErrorCode.INVALID_URL,),
    "127.0.0.1.": (ErrorCode.ADDRESS_FORBIDDEN, ErrorCode.DNS_FAILED),
    "127\u30020\u30020\u30021": (ErrorCode.ADDRESS_FORBIDDEN,),
    "[::1]": (ErrorCode.ADDRESS_FORBIDDEN,),
    "[::ffff:127.0.0.1]": (ErrorCode.ADDRESS_FORBIDDEN,),
    "[::127.0.0.1]": (ErrorCode.ADDRESS_FORBIDDEN,),
    "[64:ff9b::127.0.0.1]": (ErrorCode.ADDRESS_FORBIDDEN,),
    "[64:ff9b:1::7f00:1]": (ErrorCode.ADDRESS_FORBIDDEN,),
    "[2002:7f00:1::]": (ErrorCode.ADDRESS_FORBIDDEN,),
    "[::1%25lo]": (ErrorCode.INVALID_URL,),
    "%31%32%37.0.0.1": (ErrorCode.INVALID_URL,),
}
"""Loopback by other names. The system's resolver decides whether it takes the short ones for addresses."""

BROKEN_TLS = ("expired", "wrong-name", "self-made")


class Names:
    """`*.test` is on loopback; `moving.test` only when it is looked up first, then a metadata service."""

    def __init__(self) -> None:
        self._moving = itertools.chain(["127.0.0.1"], itertools.repeat("169.254.169.254"))
        self._lookups = Lookups()

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        if host == "moving.test":
            return [ip_address(next(self._moving))]
        if host.endswith(".test"):
            return [ip_address("127.0.0.1")]
        return await self._lookups.resolve(host, port)


@dataclass(frozen=True)
class World:
    """All servers. `inner` stands for what must not be reached: its port is not opened."""

    web: Web
    inner: Web
    secure: Mapping[str, Web]
    authority: Authority
    no_tls_port: int

    @property
    def policy(self) -> AddressPolicy:
        opened = [self.web.port, self.no_tls_port, *(web.port for web in self.secure.values())]
        return AddressPolicy.parse(",".join(f"127.0.0.1/32:{port}" for port in opened))

    @asynccontextmanager
    async def fetcher(self, limits: FetchLimits = LIMITS) -> AsyncIterator[Fetcher]:
        tls = self.authority.client_context()
        async with image_client(self.policy, limits, resolve=Names(), tls=tls) as http:
            yield Fetcher(http, limits)

    def link(self, path: str) -> str:
        """Each path has a host of its own, as strangers' links have."""
        host = "moving" if path == "/moves" else path.strip("/").replace("/", "-")
        return self.web.url(path, f"{host}.test")

    def broken_tls(self) -> dict[str, str]:
        """Links that end in tls_failed."""
        links = {name: self.secure[name].url("/good.jpg", f"{name}.test") for name in BROKEN_TLS}
        return {**links, "no-tls": f"https://no-tls.test:{self.no_tls_port}/good.jpg"}


@dataclass(frozen=True)
class Certificates:
    trusted: Authority
    servers: Mapping[str, ssl.SSLContext]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    trusted, stranger = (Authority(tmp_path_factory.mktemp(name)) for name in ("trusted", "stranger"))
    return Certificates(
        trusted,
        {
            "shop": trusted.server_context("DNS:shop.test"),
            "expired": trusted.server_context("DNS:expired.test", expired=True),
            "wrong-name": trusted.server_context("DNS:somebody-else.test"),
            "self-made": stranger.server_context("DNS:self-made.test"),
        },
    )


@pytest.fixture
async def world(encode: Encode, photo: Image.Image, certificates: Certificates) -> AsyncIterator[World]:
    good: dict[str, Route] = {"/good.jpg": Page(encode(photo, "JPEG", quality=90))}
    hostile = {path: route for path, (route, _) in ROUTES.items()}
    async with AsyncExitStack() as stack:
        secure = {
            name: await stack.enter_async_context(serving(good, tls=context))
            for name, context in certificates.servers.items()
        }
        web = await stack.enter_async_context(serving({**good, **SLOW, **hostile}))
        inner = await stack.enter_async_context(serving({"/secret": Page(b"secret")}))
        plain = await asyncio.start_server(refuse_tls, "127.0.0.1", 0)
        async with plain:
            yield World(web, inner, secure, certificates.trusted, plain.sockets[0].getsockname()[1])


async def error_of(fetcher: Fetcher, link: str) -> FetchError:
    budget = ByteBudget(1 << 26)
    async with budget.lease() as lease:
        with pytest.raises(FetchError) as caught:
            await fetcher.fetch(link, lease)
        assert lease.held <= 2 * MIB
    assert budget.used == 0
    assert "swordfish" not in caught.value.message
    assert "?" not in caught.value.message
    return caught.value


@pytest.mark.parametrize("path", ROUTES)
async def test_a_hostile_answer_ends_in_its_code_and_the_next_one_is_right(world: World, path: str) -> None:
    async with world.fetcher() as fetcher:
        error = await error_of(fetcher, world.link(path) + "?token=hush")
        assert error.code == ROUTES[path][1]
        assert "hush" not in error.message
        async with ByteBudget(1 << 26).lease() as lease:
            assert await fetcher.fetch(world.web.url("/good.jpg"), lease)
    assert world.inner.connections == 0


@pytest.mark.parametrize("path", SLOW)
async def test_a_host_that_sends_too_slowly_ends_at_the_deadline(world: World, path: str) -> None:
    async with world.fetcher(HURRIED) as fetcher:
        assert (await error_of(fetcher, world.link(path))).code == ErrorCode.DOWNLOAD_TIMEOUT


@pytest.mark.parametrize("host", SPELLINGS)
async def test_loopback_is_never_reached_by_another_name(world: World, host: str) -> None:
    async with world.fetcher() as fetcher:
        for link in (world.inner.url("/secret", host), world.web.url("/go")):
            world.web.routes["/go"] = moved(world.inner.url("/secret", host).encode().decode("latin-1"))
            assert (await error_of(fetcher, link)).code in SPELLINGS[host]
    assert world.inner.connections == 0


@pytest.mark.parametrize("kind", [*BROKEN_TLS, "no-tls"])
async def test_tls_that_is_wrong_is_refused(world: World, kind: str) -> None:
    async with world.fetcher() as fetcher:
        assert (await error_of(fetcher, world.broken_tls()[kind])).code == ErrorCode.TLS_FAILED
    assert all(not web.requests for web in world.secure.values())


async def test_tls_for_another_name_is_refused_on_a_warm_pool(world: World) -> None:
    shop = world.secure["shop"]
    async with world.fetcher() as fetcher:
        async with ByteBudget(1 << 26).lease() as lease:
            assert await fetcher.fetch(shop.url("/good.jpg", "shop.test"), lease)
        for host in ("other.test", "127.0.0.1"):
            assert (await error_of(fetcher, shop.url("/good.jpg", host))).code == ErrorCode.TLS_FAILED
    assert shop.requests["/good.jpg"] == 1


async def test_a_length_that_is_too_short_gives_what_it_says_and_poisons_nothing(world: World) -> None:
    world.web.routes["/lying-shorter"] = once(HEAD + b"Content-Length: 4\r\n\r\ngood" + HEAD + b"\r\nevil")
    async with world.fetcher() as fetcher:
        for path, start in (
            ("/lying-shorter", b"good"),
            ("/good.jpg", b"\xff\xd8"),
            ("/lying-shorter", b"good"),
        ):
            async with ByteBudget(1 << 26).lease() as lease:
                assert (await fetcher.fetch(world.web.url(path), lease)).startswith(start)


@pytest.mark.parametrize(
    "path", ["/gzip-bomb", "/deflate-bomb", "/endless-body", "/endless-chunks", "/gzip-nothing"]
)
async def test_a_bomb_takes_no_more_memory_than_one_large_image(world: World, path: str) -> None:
    async with world.fetcher() as fetcher:
        await error_of(fetcher, world.link(path))  # what is imported or kept once is not counted
        tracemalloc.start()
        try:
            await error_of(fetcher, world.link(path))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < LIMITS.max_bytes + MIB


async def test_one_shard_with_all_of_them_is_done_and_its_good_images_are_stored(
    world: World, store: MemoryStore, encode: Encode, photo: Image.Image
) -> None:
    """Real sockets and real codec processes; every hostile link stands between two good ones."""
    picture = encode(photo, "JPEG", quality=90)
    world.web.routes["/lying-shorter"] = once(HEAD + b"Content-Length: 900\r\n\r\n" + picture)
    expected: dict[str, tuple[ErrorCode, ...]] = {
        **{world.link(path): (code,) for path, (_, code) in ROUTES.items()},
        **{world.link(path): (ErrorCode.DOWNLOAD_TIMEOUT,) for path in SLOW},
        **{world.inner.url("/secret", host): codes for host, codes in SPELLINGS.items()},
        **dict.fromkeys(world.broken_tls().values(), (ErrorCode.TLS_FAILED,)),
        world.link("/lying-shorter"): (ErrorCode.TRUNCATED,),
    }
    hostile = list(expected)
    good = [world.web.url(f"/good.jpg?{number}", "good.test") for number in range(len(hostile))]
    planned(store, [f"{bad},{fine}" for bad, fine in zip(hostile, good, strict=True)])
    limits = FetchLimits(max_bytes=MIB, total_s=8.0, backoff_s=0.0, per_host=4)
    budget = ByteBudget(8 * MIB)

    @asynccontextmanager
    async def services() -> AsyncIterator[Services]:
        async with (
            world.fetcher(limits) as fetcher,
            CodecPool(CodecLimits(processes=1), PictureLimits()) as codecs,
        ):
            yield Services(fetcher=fetcher, codecs=codecs, budget=budget, options=Compression())

    await process_images(ShardRun(shard=ShardId(REQUEST_ID, 1, 0), run="run-1"), store, services)
    report = Report.from_json(store.get(keys.report(REQUEST_ID, 1, 0)))
    outcomes = list(shard.read_fragment([store.get(report.fragment)]))
    assert [(one.row, one.slot) for one in outcomes] == [
        (row, slot) for row in range(1, len(hostile) + 1) for slot in (1, 2)
    ]
    wrong = {
        link: outcome.error
        for link, outcome in zip(hostile, outcomes[::2], strict=True)
        if outcome.error not in expected[link]
    }
    assert wrong == {}
    assert all(one.succeeded for one in outcomes[1::2])
    assert world.inner.connections == 0
    assert budget.used == 0


def planned(store: MemoryStore, cells: Sequence[str]) -> None:
    """Put the canonical CSV with these cells of links, and its plan of one shard."""
    head = rows.record(rows.COLUMNS).encode()
    body = b"".join(
        rows.record([str(row), "Chair", cell]).encode() for row, cell in enumerate(cells, start=1)
    )
    stored = store.put(keys.canonical_input(REQUEST_ID), head + body, CSV)
    only = ShardRange(len(head), len(body), 1, len(cells), 2 * len(cells))
    plan = Plan(stored.etag, len(cells), 2 * len(cells), Dialect(), (only,))
    store.put(keys.plan(REQUEST_ID), plan.to_json(), JSON)
