"""Connections: which are kept, which are not, and that none is ever lost."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from hypothesis import given, strategies

from imagebatch.net.guard import Address, AddressPolicy
from imagebatch.net.http.connection import EVENTS_BETWEEN_TURNS, FEED_BYTES, Connection
from imagebatch.net.http.dial import Dialler, Origin, tls_context
from imagebatch.net.http.pool import Pool
from imagebatch.net.http.request import Outgoing, Timeouts
from imagebatch.net.http.wire import MAX_WAITING_BYTES
from imagebatch.net.transport import GuardedTransport
from imagebatch_testing.certificates import Authority
from imagebatch_testing.web import Page, Route, Web, reset, serving

pytestmark = pytest.mark.anyio

POLICY = AddressPolicy.parse("127.0.0.0/8")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"


async def to_loopback(_: str, __: int) -> Sequence[Address]:
    return [ip_address("127.0.0.1")]


@asynccontextmanager
async def opened(
    connections: int = 4, keep_s: float = 15.0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[httpx.AsyncClient, Pool]]:
    pool = Pool(Dialler(POLICY, to_loopback, tls), connections=connections, keep_s=keep_s)
    timeout = httpx.Timeout(20, pool=0.05)
    async with httpx.AsyncClient(transport=GuardedTransport(pool), timeout=timeout) as client:
        yield client, pool
        assert pool.used == 0


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    routes: dict[str, Route] = {
        "/good": Page(b"good"),
        "/large": Page(b"x" * 3_000_000),
        "/chunked": Page(b"good", chunked=True),
        "/moved": Page(b"moved to /good", 302, {"Location": "/good"}),
        "/last": Page(b"good", headers={"Connection": "close"}),
    }
    async with serving(routes) as server:
        yield server


@pytest.mark.parametrize("path", ["/good", "/chunked", "/large", "/missing"])
async def test_a_connection_is_kept_for_the_next_request(web: Web, path: str) -> None:
    async with opened() as (client, pool):
        for _ in range(3):
            await client.get(web.url(path))
        assert (web.connections, pool.kept) == (1, 1)


async def test_a_connection_is_not_kept_when_the_host_says_so(web: Web) -> None:
    async with opened() as (client, pool):
        for _ in range(2):
            assert (await client.get(web.url("/last"))).content == b"good"
        assert (web.connections, pool.kept) == (2, 0)


async def test_a_short_body_that_nobody_reads_does_not_cost_the_connection(web: Web) -> None:
    async with opened() as (client, _):
        for path in ("/moved", "/good"):
            async with client.stream("GET", web.url(path)):
                await asyncio.sleep(0)
        assert web.connections == 1


async def test_a_long_body_that_nobody_reads_ends_the_connection(web: Web) -> None:
    async with opened() as (client, pool):
        async with client.stream("GET", web.url("/large")) as response:
            async for _ in response.aiter_raw():
                break
        assert pool.kept == 0
        assert (await client.get(web.url("/good"))).content == b"good"


async def test_a_connection_is_never_used_for_another_name_scheme_or_port(web: Web) -> None:
    async with opened() as (client, pool), serving(web.routes) as other:
        for url in (
            web.url("/good", "one.test"),
            web.url("/good", "two.test"),
            web.url("/good"),
            other.url("/good"),
        ):
            assert (await client.get(url)).content == b"good"
        assert pool.kept == 4
    assert (web.connections, other.connections) == (3, 1)


async def test_kept_connections_give_way_to_new_ones(web: Web) -> None:
    async with opened(connections=2) as (client, pool):
        for number in range(5):
            await client.get(web.url("/good", f"host{number}.test"))
            assert pool.used + pool.kept <= 2
        await client.get(web.url("/good", "host4.test"))
        assert web.connections == 5


async def test_a_burst_of_dials_counts_before_they_are_made(web: Web) -> None:
    """Two connections are kept; both give way to two dials that are under way at once."""
    gate, asked = asyncio.Event(), 0

    async def waiting(host: str, _: int) -> Sequence[Address]:
        nonlocal asked
        if host.startswith("new"):
            asked += 1
            await gate.wait()
        return [ip_address("127.0.0.1")]

    pool = Pool(Dialler(POLICY, waiting), connections=2)
    async with httpx.AsyncClient(transport=GuardedTransport(pool), timeout=httpx.Timeout(20)) as client:
        await asyncio.gather(*(client.get(web.url("/good", f"old{number}.test")) for number in range(2)))
        assert (pool.kept, pool.open) == (2, 2)
        burst = [
            asyncio.create_task(client.get(web.url("/good", f"new{number}.test"))) for number in range(2)
        ]
        await until(lambda: asked == 2)
        assert (pool.kept, pool.open) == (0, 2)
        gate.set()
        await asyncio.gather(*burst)
        assert pool.open == 2


async def test_a_kept_connection_expires(web: Web) -> None:
    async with opened(keep_s=0.0) as (client, pool):
        await client.get(web.url("/good"))
        await until(lambda: not pool.kept)
        await client.get(web.url("/good"))
        assert web.connections == 2


async def test_no_more_connections_are_used_at_once_than_allowed(web: Web) -> None:
    async with opened(connections=1) as (client, pool), client.stream("GET", web.url("/large")):
        with pytest.raises(httpx.PoolTimeout):
            await client.get(web.url("/good"))
        assert pool.used == 1


async def test_many_requests_share_few_connections(web: Web) -> None:
    async with opened(connections=3) as (client, pool):
        timeout = httpx.Timeout(20)
        answers = await asyncio.gather(*(client.get(web.url("/good"), timeout=timeout) for _ in range(50)))
        assert {answer.content for answer in answers} == {b"good"}
        assert web.connections == pool.kept == 3


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - servers and pools count
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("where", ["connecting", "head", "body"])
async def test_a_cancelled_request_leaves_its_slot_to_the_next(web: Web, where: str) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await reader.read()

    web.routes |= {"/head": silent, "/body": half}
    # Behind https this server waits for ever, for a request in the middle of the TLS handshake.
    url = f"https://{web.host}/" if where == "connecting" else web.url(f"/{where}")
    async with opened(connections=1) as (client, pool):
        for number in (1, 2, 3):
            request = asyncio.create_task(client.get(url, timeout=20))
            await until(lambda: web.connections == number and (where == "connecting" or pool.used == 1))  # noqa: B023
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
            assert (pool.used, pool.kept) == (0, 0)
        assert (await client.get(web.url("/good"))).content == b"good"


async def test_a_connection_that_the_host_closed_meanwhile_is_replaced(web: Web) -> None:
    async def once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)

    web.routes["/once"] = once
    async with opened() as (client, _):
        for method in ("GET", "POST", "POST", "GET"):
            assert (await client.request(method, web.url("/once"))).content == b"good"
            await asyncio.sleep(0)
    assert web.requests["/once"] == 4


async def stale(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers once, and closes when the second request is there: too late for the client to see it."""
    writer.write(OK)
    await reader.readuntil(b"\r\n\r\n")


async def test_a_get_on_a_stale_connection_is_sent_again_on_a_new_one(web: Web) -> None:
    web.routes["/stale"] = stale
    async with opened() as (client, pool):
        assert (await client.get(web.url("/stale"))).content == b"good"
        assert (await client.get(web.url("/stale"))).content == b"good"
        assert pool.kept == 1
    assert (web.connections, web.requests["/stale"]) == (2, 2)


async def test_a_post_on_a_stale_connection_is_not_sent_twice(web: Web) -> None:
    web.routes["/stale"] = stale
    async with opened() as (client, pool):
        await client.get(web.url("/stale"))
        with pytest.raises(httpx.ReadError):
            await client.post(web.url("/stale"), content=b"hook")
        assert (pool.used, pool.kept) == (0, 0)
    assert web.connections == 1


async def test_a_first_connection_that_breaks_is_not_tried_again_here(web: Web) -> None:
    async def breaking(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reset(writer)

    web.routes["/breaking"] = breaking
    async with opened() as (client, _):
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await client.get(web.url("/breaking"))
    assert web.requests["/breaking"] == 1


@pytest.mark.parametrize(
    "extra",
    [b"GARBAGE", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", b"\r\n", b"\x00"],
    ids=["garbage", "answer", "line", "nul"],
)
async def test_bytes_behind_an_answer_do_not_poison_the_next_one(web: Web, extra: bytes) -> None:
    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + extra)
        await reader.read()

    web.routes["/talkative"] = talkative
    async with opened() as (client, pool):
        for path in ("/talkative", "/good", "/talkative", "/good"):
            assert (await client.get(web.url(path))).content == b"good"
            await asyncio.sleep(0)
        assert pool.kept <= 1
    assert web.connections == 3


async def test_a_body_that_breaks_off_is_no_whole_body(web: Web) -> None:
    """Without a length an orderly end is the body's end, and a reset is not."""

    async def ending(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\ngood")

    async def breaking(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\ngood")
        await writer.drain()
        reset(writer)

    web.routes |= {"/ending": ending, "/breaking": breaking}
    async with opened() as (client, pool):
        assert (await client.get(web.url("/ending"))).content == b"good"
        with pytest.raises(httpx.ReadError):
            await client.get(web.url("/breaking"))
        assert pool.kept == 0


async def test_a_client_that_is_closed_ends_no_body_well(web: Web) -> None:
    async def going_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\ngood")
        await reader.read()

    web.routes["/going-on"] = going_on
    async with opened() as (client, pool), client.stream("GET", web.url("/going-on")) as response:
        pieces = response.aiter_raw()
        assert await anext(pieces) == b"good"
        await pool.close()
        with pytest.raises(httpx.ReadError):
            await anext(pieces)


async def test_both_lengths_are_refused(web: Web) -> None:
    async def ambiguous(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n")

    web.routes["/ambiguous"] = ambiguous
    async with opened() as (client, _):
        with pytest.raises(httpx.RemoteProtocolError, match="both"):
            await client.get(web.url("/ambiguous"))


async def test_tls_is_for_the_name_also_when_a_connection_to_its_address_is_warm(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with (
        serving({"/good": Page(b"good")}, tls=authority.server_context("DNS:shop.test")) as web,
        opened(tls=authority.client_context()) as (client, pool),
    ):
        for host in ("shop.test", "shop.test", "SHOP.test"):
            assert (await client.get(web.url("/good", host))).content == b"good"
        assert (web.connections, pool.kept) == (1, 1)
        for host in ("other.test", "127.0.0.1"):
            with pytest.raises(httpx.ConnectError, match="certificate"):
                await client.get(web.url("/good", host))
        assert web.requests["/good"] == 3


async def test_an_absolute_name_has_the_certificate_of_the_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with (
        serving({"/good": Page(b"good")}, tls=authority.server_context("DNS:shop.test")) as web,
        opened(tls=authority.client_context()) as (client, _),
    ):
        assert (await client.get(web.url("/good", "shop.test."))).content == b"good"


def test_there_is_one_tls_context_a_process() -> None:
    assert tls_context() is tls_context()


class FarEnd(asyncio.Transport):
    """A host that the test plays. It remembers whether it may send."""

    def __init__(self) -> None:
        super().__init__()
        self.may_send = True
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.may_send = False

    def resume_reading(self) -> None:
        self.may_send = True

    def is_closing(self) -> bool:
        return False


async def asked() -> tuple[Connection, FarEnd]:
    connection, host = Connection(), FarEnd()
    connection.connection_made(host)
    await connection.send(Outgoing.of(httpx.Request("GET", "http://shop.test/")), None)
    return connection, host


async def drained(connection: Connection) -> list[int]:
    """The sizes of the pieces of the body."""
    sizes = []
    while piece := await connection.read_body(None):
        sizes.append(len(piece))
    return sizes


async def test_a_host_that_sends_faster_than_it_is_read_is_stopped() -> None:
    connection, host = await asked()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
    await connection.read_head(None)
    sent = 0
    while host.may_send:
        connection.data_received(bytes(16_384))
        sent += 16_384
    assert sent <= MAX_WAITING_BYTES + 16_384
    taken = 0
    while taken < sent:
        taken += len(await connection.read_body(None))
    assert host.may_send


async def test_a_piece_of_a_body_is_never_large_whatever_comes_at_once() -> None:
    connection, _ = await asked()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(1_000_000))
    await connection.read_head(None)
    sizes = await drained(connection)
    assert sum(sizes) == 1_000_000
    assert max(sizes) <= FEED_BYTES


async def test_a_body_that_is_here_already_does_not_keep_the_loop_from_others() -> None:
    connection, _ = await asked()
    connection.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(1000):
        connection.data_received(b"40\r\n" + bytes(64) + b"\r\n")
    connection.data_received(b"0\r\n\r\n")
    await connection.read_head(None)
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await drained(connection)
    task.cancel()
    assert others > 1000 / EVENTS_BETWEEN_TURNS - 2


async def test_a_body_in_crumbs_is_refused() -> None:
    connection, _ = await asked()
    connection.data_received(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 50_000
    )
    await connection.read_head(None)
    with pytest.raises(httpx.RemoteProtocolError, match="crumbs"):
        await drained(connection)


FRAGMENTS = [
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"A: b\r\n", b"\r\n",
    b"\n", b" folded\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", b"abc", b"\x00",
]  # fmt: skip


async def exchanged(chunks: Sequence[bytes]) -> tuple[bytes, bool]:
    """The body that an answer in these chunks has, and whether the connection may be used again."""
    connection, _ = await asked()
    for chunk in chunks:
        connection.data_received(chunk)
    connection.eof_received()
    await connection.read_head(None)
    body = b""
    while piece := await connection.read_body(None):
        body += piece
    return body, connection.finish()


@given(strategies.lists(strategies.sampled_from(FRAGMENTS) | strategies.binary(max_size=8), max_size=12))
def test_whatever_a_host_sends_is_an_answer_or_an_http_error(chunks: list[bytes]) -> None:
    with suppress(httpx.HTTPError):
        asyncio.run(exchanged(chunks))


@given(strategies.lists(strategies.integers(0, 120), max_size=8))
def test_an_answer_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    answer = CHUNKED + b"5;name=value\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: x\r\n\r\n"
    places = [0, *sorted(cuts), len(answer)]
    chunks = [answer[start:end] for start, end in pairwise(places) if answer[start:end]]
    assert asyncio.run(exchanged(chunks))[0] == b"hello world"


async def test_what_comes_unasked_ends_a_connection() -> None:
    ended: list[bool] = []

    class Closable(FarEnd):
        def abort(self) -> None:
            ended.append(True)

    connection = Connection()
    connection.connection_made(Closable())
    connection.data_received(b"HTTP/1.1 200 OK\r\n")
    assert ended == [True]


def test_an_origin_is_scheme_name_and_port() -> None:
    def origin(url: str) -> Origin:
        return Origin.of(httpx.URL(url))

    assert (
        origin("http://Shop.test/a?b") == origin("http://shop.test:80/c") == Origin("http", "shop.test", 80)
    )
    assert origin("https://shop.test") == Origin("https", "shop.test", 443)
    assert len({origin("http://shop.test"), origin("https://shop.test"), origin("http://shop.test:81")}) == 3


def test_timeouts_are_those_of_the_request() -> None:
    request = httpx.Client(timeout=httpx.Timeout(1, connect=2)).build_request("GET", "http://shop.test")
    assert Timeouts.of(request) == Timeouts(connect=2, read=1, write=1, pool=1)
