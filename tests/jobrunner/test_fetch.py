"""Downloads: every way they fail has a code, and only what may mend itself is tried again."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from imagebatch.guard import AddressPolicy
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.download.budget import ByteBudget
from imagebatch_jobrunner.download.fetch import Fetcher, image_client
from imagebatch_jobrunner.download.hosts import FAILURES_TO_SKIP, SKIP_SECONDS, HostHealth
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
    error = await error_of(web.url("/silent"), FetchLimits(total_s=0.2))
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
    async with fetching() as fetcher, ByteBudget(1 << 20).lease() as lease:
        messages = []
        for _ in range(FAILURES_TO_SKIP):
            with pytest.raises(FetchError) as caught:
                await fetcher.fetch(link, lease)
            messages.append(caught.value.message)
    assert "skipped" not in messages[0]
    assert "skipped" in messages[-1]


def test_a_skipped_host_is_probed_after_a_while() -> None:
    now = 0.0
    health = HostHealth(clock=lambda: now)
    for _ in range(FAILURES_TO_SKIP):
        assert health.may_try()
        health.record(connected=False)
    assert not health.may_try()
    now = SKIP_SECONDS
    assert [health.may_try(), health.may_try()] == [True, False]
    health.record(connected=False)
    now = 2 * SKIP_SECONDS
    assert health.may_try()
    health.record(connected=True)
    assert [health.may_try(), health.may_try()] == [True, True]
