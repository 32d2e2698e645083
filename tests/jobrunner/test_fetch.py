"""Downloads: every way they fail has a code, and only what may mend itself is tried again."""

import asyncio
import gzip
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from imagebatch.net.guard import Address, AddressPolicy
from imagebatch.net.http.status import TEMPORARY
from imagebatch.net.transport import PROJECT_URL, user_agent
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.download.budget import FIRST_BYTES, ByteBudget
from imagebatch_jobrunner.download.fetch import Fetcher, image_client
from imagebatch_jobrunner.download.hosts import (
    FAILURES_TO_SKIP,
    MAX_QUIET_S,
    SILENCES_TO_SKIP,
    SKIP_SECONDS,
    STRANGERS_AT_ONCE,
    Host,
    HostHealth,
    Hosts,
    host_of,
)
from imagebatch_jobrunner.download.one_request import translated
from imagebatch_jobrunner.errors import FetchError
from imagebatch_jobrunner.limits import FetchLimits
from imagebatch_testing.web import Page, Route, Web, serving

pytestmark = pytest.mark.anyio

QUICK = FetchLimits(max_bytes=1000, total_s=20.0, backoff_s=0.0)


@asynccontextmanager
async def fetching(limits: FetchLimits = QUICK) -> AsyncIterator[Fetcher]:
    async with image_client(AddressPolicy.parse("127.0.0.1/32"), limits) as http:
        yield Fetcher(http, limits)


async def fetch(link: str, limits: FetchLimits = QUICK) -> bytes:
    async with fetching(limits) as fetcher, ByteBudget(1 << 20).lease() as lease:
        return await fetcher.fetch(link, lease)


async def error_of(link: str, limits: FetchLimits = QUICK) -> FetchError:
    with pytest.raises(FetchError) as caught:
        await fetch(link, limits)
    return caught.value


async def half_an_answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()


async def no_answer(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def nonsense(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    await writer.drain()
    writer.close()


ROUTES: dict[str, Route] = {
    "/good": Page(b"picture"),
    "/chunked": Page(b"picture", chunked=True),
    "/zipped": Page(gzip.compress(b"picture"), headers={"Content-Encoding": "gzip"}),
    "/moved": Page(status=302, headers={"Location": "/good"}),
    "/empty": Page(b""),
    "/none": Page(status=204),
    "/forbidden": Page(status=403),
    "/unchanged": Page(status=304),
    "/busy": Page(status=503),
    "/slow down": Page(status=429, headers={"Retry-After": "1000"}),
    "/declared": Page(headers={"Content-Length": "1001"}),
    "/long": Page(b"x" * 1001, chunked=True),
    "/bomb": Page(gzip.compress(b"x" * 100_000), headers={"Content-Encoding": "gzip"}),
    "/brotli": Page(b"\x0b\x02\x80good\x03", headers={"Content-Encoding": "br"}),
    "/twice": Page(gzip.compress(gzip.compress(b"x")), headers={"Content-Encoding": "gzip, gzip"}),
    "/garbled": Page(b"no gzip", headers={"Content-Encoding": "gzip"}),
    "/circle": Page(status=301, headers={"Location": "/circle"}),
    "/inside": Page(status=302, headers={"Location": "http://10.0.0.1/x"}),
    "/metadata": Page(status=302, headers={"Location": "http://169.254.169.254/latest"}),
    "/password": Page(status=302, headers={"Location": "http://user:swordfish@127.0.0.1/x"}),
    "/ftp": Page(status=302, headers={"Location": "ftp://127.0.0.1/x"}),
    "/half": half_an_answer,
    "/silent": no_answer,
    "/nonsense": nonsense,
}


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with serving(ROUTES) as server:
        yield server


@pytest.mark.parametrize("path", ["/good", "/chunked", "/zipped", "/moved", "/good?with=query#part"])
async def test_the_bytes_behind_a_link_are_fetched(web: Web, path: str) -> None:
    assert await fetch(web.url(path)) == b"picture"


@pytest.mark.parametrize(
    ("path", "code", "says", "tries"),
    [
        ("/missing", ErrorCode.HTTP_STATUS, "HTTP 404", 1),
        ("/forbidden", ErrorCode.HTTP_STATUS, "HTTP 403", 1),
        ("/unchanged", ErrorCode.HTTP_STATUS, "HTTP 304", 1),
        ("/busy", ErrorCode.HTTP_STATUS, "HTTP 503", 3),
        ("/slow%20down", ErrorCode.HTTP_STATUS, "HTTP 429", 1),
        ("/empty", ErrorCode.EMPTY_FILE, "", 1),
        ("/none", ErrorCode.EMPTY_FILE, "", 1),
        ("/declared", ErrorCode.TOO_LARGE, "1000", 1),
        ("/long", ErrorCode.TOO_LARGE, "1000", 1),
        ("/bomb", ErrorCode.TOO_LARGE, "1000", 1),
        ("/garbled", ErrorCode.DOWNLOAD_FAILED, "Content-Encoding", 1),
        ("/brotli", ErrorCode.UNSUPPORTED_ENCODING, "'br'", 1),
        ("/twice", ErrorCode.UNSUPPORTED_ENCODING, "'gzip, gzip'", 1),
        ("/circle", ErrorCode.TOO_MANY_REDIRECTS, "5", 6),
        ("/inside", ErrorCode.ADDRESS_FORBIDDEN, "10.0.0.1", 1),
        ("/metadata", ErrorCode.ADDRESS_FORBIDDEN, "169.254.169.254", 1),
        ("/password", ErrorCode.CREDENTIALS_IN_URL, "redirects", 1),
        ("/ftp", ErrorCode.INVALID_URL, "redirects", 1),
        ("/half", ErrorCode.DOWNLOAD_FAILED, "transfer broke", 3),
        ("/nonsense", ErrorCode.DOWNLOAD_FAILED, "transfer broke", 3),
    ],
)
async def test_what_goes_wrong_has_a_code(
    web: Web, path: str, code: ErrorCode, says: str, tries: int
) -> None:
    web.routes["/slow%20down"] = ROUTES["/slow down"]
    error = await error_of(web.url(path))
    assert error.code == code
    assert says in error.message
    assert "swordfish" not in error.message
    assert web.requests[path] == tries


async def test_a_host_that_sends_nothing_is_left_at_the_deadline(web: Web) -> None:
    error = await error_of(web.url("/silent"), FetchLimits(total_s=1.0))
    assert error.code == ErrorCode.DOWNLOAD_TIMEOUT


async def test_a_closed_port_is_a_failed_connection() -> None:
    async with serving() as web:
        link = web.url("/x")
    assert (await error_of(link)).code == ErrorCode.CONNECT_FAILED


async def test_a_closed_address_is_never_dialled() -> None:
    async with image_client(AddressPolicy.parse(""), QUICK) as http, ByteBudget(1 << 20).lease() as lease:
        with pytest.raises(FetchError) as caught:
            await Fetcher(http, QUICK).fetch("http://127.0.0.1:1/x", lease)
    assert caught.value.code == ErrorCode.ADDRESS_FORBIDDEN


async def test_a_name_without_address_is_called_so() -> None:
    error = await error_of(f"http://{'a' * 64}.test/x")
    assert (error.code, error.retryable) == (ErrorCode.DNS_FAILED, False)


async def test_what_is_no_tls_behind_https_is_a_tls_failure() -> None:
    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    async with server:
        error = await error_of(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/x")
    assert (error.code, error.retryable) == (ErrorCode.TLS_FAILED, False)


async def test_a_temporary_failure_is_tried_again(web: Web) -> None:
    async def recovering(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = {1: b"503 Busy\r\nRetry-After: 0", 2: b"502 Bad"}
        status = answers.get(web.requests["/recovering"], b"200 OK")
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngood")
        await writer.drain()

    web.routes["/recovering"] = recovering
    assert await fetch(web.url("/recovering")) == b"good"
    assert web.requests["/recovering"] == 3


async def test_an_image_is_asked_for_uncompressed(web: Web) -> None:
    await fetch(web.url("/good"))
    assert web.seen_headers[0]["accept-encoding"] == "identity"
    assert web.seen_headers[0]["accept"].startswith("image/")


async def test_a_host_that_negotiates_gives_the_original(web: Web) -> None:
    async def negotiating(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accept = web.seen_headers[-1]["accept"]
        kind = next((one for one in ("avif", "webp", "jxl", "heic") if f"image/{one}" in accept), "jpeg")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nVary: Accept\r\n\r\n" + kind.encode()[:4])
        await writer.drain()

    web.routes["/x.jpg"] = negotiating
    assert await fetch(web.url("/x.jpg")) == b"jpeg"
    assert [part.strip() for part in web.seen_headers[0]["accept"].split(",")][:3] == [
        "image/jpeg",
        "image/png",
        "image/gif",
    ]


@pytest.mark.parametrize("status", sorted(TEMPORARY))
async def test_a_temporary_status_is_tried_again(web: Web, status: int) -> None:
    async def recovering(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = b"%d Later" % status if web.requests["/later"] == 1 else b"200 OK"
        writer.write(b"HTTP/1.1 " + said + b"\r\nContent-Length: 4\r\n\r\ngood")
        await writer.drain()

    web.routes["/later"] = recovering
    assert await fetch(web.url("/later")) == b"good"
    assert web.requests["/later"] == 2


@pytest.mark.parametrize("status", [400, 401, 404, 410, 501, 505, 511, 525, 526, 599])
async def test_another_status_is_not_tried_again(web: Web, status: int) -> None:
    web.routes["/x"] = Page(status=status)
    assert (await error_of(web.url("/x"))).message.startswith(f"HTTP {status}")
    assert web.requests["/x"] == 1


async def test_a_cookie_wall_is_passed_and_nothing_of_it_is_kept(web: Web) -> None:
    async def wall(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if "seen=1" in web.seen_headers[-1].get("cookie", ""):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
        else:
            head = b"HTTP/1.1 302 Found\r\nLocation: /wall\r\nSet-Cookie: seen=1; path=/\r\n"
            writer.write(head + b"Content-Length: 0\r\n\r\n")
        await writer.drain()

    web.routes["/wall"] = wall
    async with fetching() as fetcher:
        for _ in range(2):
            async with ByteBudget(1 << 20).lease() as lease:
                assert await fetcher.fetch(web.url("/wall"), lease) == b"good"
    assert web.requests["/wall"] == 4, "the second link's chain begins without a cookie"


async def test_a_cookie_does_not_follow_to_another_host(web: Web) -> None:
    async with serving({"/good": Page(b"good")}) as other:
        url = other.url("/good").replace("127.0.0.1", "localhost")
        web.routes["/away"] = Page(status=302, headers={"Location": url, "Set-Cookie": "seen=1; Path=/"})
        policy = AddressPolicy.parse("127.0.0.1/32,[::1/128]")
        async with image_client(policy, QUICK) as http, ByteBudget(1 << 20).lease() as lease:
            assert await Fetcher(http, QUICK).fetch(web.url("/away"), lease) == b"good"
        assert "cookie" not in other.seen_headers[0]


@pytest.mark.parametrize(
    ("body", "headers", "says"),
    [
        (b"Please comply with the User-Agent policy", {}, "IMAGEBATCH_USER_AGENT"),
        (b"blocked", {}, "IMAGEBATCH_USER_AGENT"),
        (b"<title>Just a moment...</title>", {"Cf-Mitigated": "challenge"}, "IMAGEBATCH_USER_AGENT"),
        (b"", {"Cf-Mitigated": "challenge"}, "IMAGEBATCH_USER_AGENT"),
        (b"<Error><Code>AccessDenied</Code></Error>", {}, "the file is private"),
        (b"nothing of that", {}, "HTTP 403"),
        (b"", {}, "HTTP 403"),
    ],
)
async def test_a_403_says_when_it_looks_like_a_policy_on_clients(
    web: Web, body: bytes, headers: dict[str, str], says: str
) -> None:
    web.routes["/x"] = Page(body, 403, headers)
    error = await error_of(web.url("/x"))
    assert error.message.startswith("HTTP 403")
    assert says in error.message
    assert ("IMAGEBATCH_USER_AGENT" in error.message) == ("IMAGEBATCH_USER_AGENT" in says)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (None, rf"ImageBatch/[0-9.]+ \(\+{re.escape(PROJECT_URL)}\)"),
        (user_agent("mailto:me@shop.test"), r"ImageBatch/[0-9.]+ \(\+mailto:me@shop\.test\)"),
        ("Mozilla/5.0 (Shop)", r"Mozilla/5\.0 \(Shop\)"),
    ],
)
async def test_we_say_who_we_are(web: Web, named: str | None, expected: str) -> None:
    policy = AddressPolicy.parse("127.0.0.1/32")
    async with image_client(policy, QUICK, named=named) as http, ByteBudget(1 << 20).lease() as lease:
        await Fetcher(http, QUICK).fetch(web.url("/good"), lease)
    assert re.fullmatch(expected, web.seen_headers[0]["user-agent"])


@pytest.mark.parametrize(
    ("page", "service"),
    [
        (
            b'<!DOCTYPE html><html><head><meta charset="x"><title>shirt.jpg - Google Drive</title></head></html>',
            "Google Drive",
        ),
        (b"\xef\xbb\xbf\n<!-- a --><html><title>\nDropbox - shirt.jpg</title>", "Dropbox"),
        (b"<HTML lang=de><TITLE dir=ltr>shirt.jpg \xe2\x80\x93 OneDrive</TITLE>", "OneDrive"),
    ],
)
async def test_a_page_about_a_shared_file_is_called_so(web: Web, page: bytes, service: str) -> None:
    web.routes["/file/d/ABC123/view"] = Page(page, headers={"Content-Type": "text/html"})
    error = await error_of(web.url("/file/d/ABC123/view?usp=sharing"))
    assert (error.code, service in error.message) == (ErrorCode.SHARE_LINK, True)


@pytest.mark.parametrize(
    "page", [b"<html><title>404</title>", b"\xff\xd8\xff<html><title>Dropbox", b"<svg>", b"<!--" * 9000]
)
async def test_other_pages_are_left_to_the_codec(web: Web, page: bytes) -> None:
    web.routes["/x"] = Page(page)
    limits = FetchLimits(max_bytes=100_000)
    assert await fetch(web.url("/x"), limits) == page


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(111, "Connect call failed ('127.0.0.1', 1)"), "no connection"),
        (
            httpx.RemoteProtocolError("illegal header line: bytearray(b'X Y: z')"),
            "the transfer broke (illegal header line)",
        ),
        (httpx.ReadError("<object object at 0x1> failed"), "the transfer broke"),
    ],
)
def test_a_message_has_no_pythons_words(error: Exception, message: str) -> None:
    said = translated(error if isinstance(error, httpx.HTTPError) else httpx.ConnectError(str(error))).message
    assert said.startswith(message)
    assert not any(word in said for word in ("bytearray", "b'", "object at"))


async def test_a_refused_connection_is_told_in_the_systems_words() -> None:
    async with serving() as web:
        link = web.url("/x")
    assert (await error_of(link)).message == "no connection (connection refused)"


async def test_one_host_is_never_asked_for_more_at_once_than_allowed() -> None:
    limits = FetchLimits(per_host=2, connections=8)
    active, most, all_in = 0, 0, asyncio.Event()

    async def counted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal active, most
        active += 1
        most = max(most, active)
        if active == 2:
            all_in.set()
        await all_in.wait()
        active -= 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
        await writer.drain()

    async with serving({"/x": counted}) as web, fetching(limits) as fetcher:
        budget = ByteBudget(1 << 20)

        async def one() -> bytes:
            async with budget.lease() as lease:
                return await fetcher.fetch(web.url("/x"), lease)

        assert await asyncio.gather(*(one() for _ in range(6))) == [b"x"] * 6
    assert most == 2


async def test_a_dead_host_is_skipped_after_many_failures() -> None:
    async with serving() as web:
        link = web.url("/x")
    async with fetching() as fetcher:
        errors = [await failure(fetcher, link) for _ in range(FAILURES_TO_SKIP)]
    assert "skipped" not in errors[0].message
    assert "skipped" in errors[-1].message
    assert {error.code for error in errors} == {ErrorCode.CONNECT_FAILED}


async def failure(fetcher: Fetcher, link: str) -> FetchError:
    async with ByteBudget(1 << 20).lease() as lease:
        with pytest.raises(FetchError) as caught:
            await fetcher.fetch(link, lease)
    return caught.value


async def test_a_host_that_never_connects_in_time_is_skipped_too() -> None:
    """The look-up takes for ever, as a connection to a firewall that drops does."""
    asked = 0

    async def never(_: str, __: int) -> list[Address]:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()
        raise AssertionError

    limits = FetchLimits(total_s=20.0, connect_s=0.001, backoff_s=0.0)
    async with image_client(AddressPolicy(), limits, resolve=never) as http:
        fetcher = Fetcher(http, limits)
        errors = [await failure(fetcher, "http://gone.test/x") for _ in range(2)]
    assert asked == SILENCES_TO_SKIP  # the first link's own tries are enough
    assert errors[0].message == "no connection in time"
    assert "skipped" in errors[-1].message


async def test_a_hundred_hosts_that_never_answer_cost_a_few_time_outs_each() -> None:
    """2,000 links, asked for as a shard asks: no host gets more dials than the first few."""
    asked: Counter[str] = Counter()

    async def never(host: str, _: int) -> list[Address]:
        asked[host] += 1
        await asyncio.Event().wait()
        raise AssertionError

    limits = FetchLimits(total_s=20.0, connect_s=0.01, backoff_s=0.0, connections=32, per_host=16)
    async with image_client(AddressPolicy(), limits, resolve=never) as http:
        fetcher = Fetcher(http, limits)
        links = [f"http://h{host}.test/{n}" for host in range(100) for n in range(20)]
        errors = await asyncio.gather(*(failure(fetcher, link) for link in links))
    assert {error.code for error in errors} == {ErrorCode.CONNECT_FAILED}
    assert max(asked.values()) <= SILENCES_TO_SKIP + STRANGERS_AT_ONCE - 1
    assert sum("skipped" in error.message for error in errors) >= 100 * (20 - STRANGERS_AT_ONCE)


async def test_a_host_that_takes_connections_and_never_answers_is_skipped_too(web: Web) -> None:
    limits = FetchLimits(total_s=0.2, backoff_s=0.0)
    async with fetching(limits) as fetcher:
        errors = [await failure(fetcher, web.url("/silent")) for _ in range(SILENCES_TO_SKIP + 3)]
    assert {error.code for error in errors} == {ErrorCode.DOWNLOAD_TIMEOUT}
    assert web.requests["/silent"] == SILENCES_TO_SKIP
    assert "skipped" in errors[-1].message


async def test_a_slow_link_of_a_host_that_answers_costs_that_link_only(web: Web) -> None:
    limits = FetchLimits(total_s=0.2, backoff_s=0.0)
    async with fetching(limits) as fetcher:
        async with ByteBudget(1 << 20).lease() as lease:
            await fetcher.fetch(web.url("/good"), lease)
        for _ in range(SILENCES_TO_SKIP + 1):
            assert "skipped" not in (await failure(fetcher, web.url("/silent"))).message


def test_a_host_that_never_answered_is_probed_after_a_while() -> None:
    now = 0.0
    health = HostHealth(clock=lambda: now)
    for _ in range(SILENCES_TO_SKIP):
        assert health.may_try()
        health.failed(A_FAILURE, is_silent=True)
    assert not health.may_try()
    now = SKIP_SECONDS
    assert [health.may_try(), health.may_try()] == [True, False]
    health.answered()
    for _ in range(SILENCES_TO_SKIP + 1):
        assert health.may_try()
        health.failed(A_FAILURE, is_silent=True)


def test_a_host_may_be_asked_for_more_once_it_has_answered() -> None:
    host = Host(8, clock=lambda: 0.0)
    assert host.at_once == STRANGERS_AT_ONCE
    host.is_there()
    host.is_there()
    assert host.at_once == 8
    assert Host(1, clock=lambda: 0.0).at_once == 1


async def test_a_skipped_host_keeps_the_code_of_its_failures() -> None:
    async with fetching() as fetcher:
        errors = [await failure(fetcher, f"http://{'a' * 64}.test/x") for _ in range(FAILURES_TO_SKIP + 1)]
    assert "skipped" in errors[-1].message
    assert {error.code for error in errors} == {ErrorCode.DNS_FAILED}


A_FAILURE = FetchError(ErrorCode.CONNECT_FAILED, "no connection")


def test_a_skipped_host_is_probed_after_a_while() -> None:
    now = 0.0
    health = HostHealth(clock=lambda: now)
    for _ in range(FAILURES_TO_SKIP):
        assert health.may_try()
        health.failed(A_FAILURE)
    assert not health.may_try()
    now = SKIP_SECONDS
    assert [health.may_try(), health.may_try()] == [True, False]
    health.failed(A_FAILURE)
    now = 2 * SKIP_SECONDS
    assert health.may_try()
    health.answered()
    assert [health.may_try(), health.may_try()] == [True, True]


async def test_a_host_that_asks_for_quiet_is_left_alone_with_its_other_links_too() -> None:
    now = 0.0
    hosts = Hosts(connections=4, per_host=4, clock=lambda: now)
    async with hosts.slot("shop.test:80") as host:
        host.keep_quiet(0.001)

    async def ask(name: str) -> None:
        async with hosts.slot(name):
            pass

    waiting = asyncio.create_task(ask("shop.test:80"))
    for _ in range(10):
        await ask("other.test:80")
        await asyncio.sleep(0.001)
    assert not waiting.done()
    now = 0.001
    await asyncio.wait_for(waiting, 20)


def test_one_answer_keeps_a_host_quiet_for_a_reasonable_time_only() -> None:
    now = 0.0
    host = Host(1, clock=lambda: now)
    host.keep_quiet(1e9)
    host.keep_quiet(1)
    assert host.quiet_s() == MAX_QUIET_S
    now = MAX_QUIET_S
    assert host.quiet_s() == 0


def test_nobody_waits_for_a_quiet_host_that_is_skipped() -> None:
    host = Host(1, clock=lambda: 0.0)
    host.keep_quiet(10)
    for _ in range(FAILURES_TO_SKIP):
        host.health.failed(FetchError(ErrorCode.HTTP_STATUS, "HTTP 429"))
    assert host.quiet_s() == 0


async def test_a_host_that_asks_for_quiet_again_and_again_is_skipped(web: Web) -> None:
    web.routes["/busy"] = Page(status=503, headers={"Retry-After": "0"})
    async with fetching() as fetcher:
        errors = [await failure(fetcher, web.url("/busy")) for _ in range(FAILURES_TO_SKIP)]
    assert errors[-1].code == ErrorCode.HTTP_STATUS
    assert "skipped" in errors[-1].message
    assert web.requests["/busy"] == FAILURES_TO_SKIP


@pytest.mark.parametrize(
    ("link", "host"),
    [
        ("http://Shop.test/a", "shop.test:80"),
        ("https://shop.test./a?b", "shop.test:443"),
        ("http://shop.test:8080", "shop.test:8080"),
        ("http://[::1]:1/", "::1:1"),
        ("not a link", ":0"),
        ("http://[bad", ""),
        ("http://shop.test:x/", ""),
    ],
)
def test_a_host_is_its_name_and_port(link: str, host: str) -> None:
    assert host_of(link) == host


async def test_redirects_count_for_the_host_they_lead_to_and_never_block_each_other() -> None:
    """Two hosts that redirect to each other, one download each at once: half come from either side."""
    active = {"a": 0, "b": 0}
    most = dict(active)

    def ending(name: str) -> Route:
        async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            active[name] += 1
            most[name] = max(most[name], active[name])
            await asyncio.sleep(0)
            active[name] -= 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
            await writer.drain()

        return handler

    limits = FetchLimits(per_host=1, connections=2)
    async with (
        serving({"/end": ending("a")}) as a,
        serving({"/end": ending("b")}) as b,
        fetching(limits) as fetcher,
    ):
        a.routes["/go"] = Page(status=302, headers={"Location": b.url("/end")})
        b.routes["/go"] = Page(status=302, headers={"Location": a.url("/end")})
        budget = ByteBudget(FIRST_BYTES)

        async def one(link: str) -> bytes:
            async with budget.lease() as lease:
                return await fetcher.fetch(link, lease)

        got = await asyncio.gather(*(one(web.url("/go")) for _ in range(8) for web in (a, b)))
    assert got == [b"good"] * 16
    assert most == {"a": 1, "b": 1}


async def test_a_lease_that_waits_for_its_turn_holds_up_nobody_who_has_his() -> None:
    """The oldest may take more than there is, so it must not be one that waits for the others."""
    size = 3 * FIRST_BYTES
    limits = FetchLimits(per_host=1, connections=2, total_s=60.0)
    async with serving({"/large": Page(bytes(size))}) as web, fetching(limits) as fetcher:
        budget = ByteBudget(2 * FIRST_BYTES)
        async with budget.lease() as oldest:  # as one whose pause between two tries is not over

            async def one() -> int:
                async with budget.lease() as lease:
                    return len(await fetcher.fetch(web.url("/large"), lease))

            oldest.step_aside()
            assert list(await asyncio.gather(one(), one(), one())) == [size] * 3
            assert len(await fetcher.fetch(web.url("/large"), oldest)) == size
    assert budget.used == 0
