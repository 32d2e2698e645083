"""Objects straight from an event loop: the SDK's own requests, and no word on what is not plain."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from minio.signer import sign_v4_s3

from imagebatch.errors import AlreadyExistsError, NotFoundError
from imagebatch.settings import S3Settings
from imagebatch.storage import keys, s3_wire
from imagebatch.storage.s3 import S3Store
from imagebatch.storage.s3_direct import MAX_BYTES, DirectS3, DirectStore
from imagebatch.storage.s3_request import Signer, place_of
from imagebatch.storage.s3_wire import UnsureError
from imagebatch.storage.store import JSON, Media
from imagebatch_testing.cluster.relay import relaying

pytestmark = pytest.mark.anyio

JPEG = Media.image("image/jpeg")
KEY = f"{keys.image_prefix('r')}0000001-001.jpg"


def settings_of(endpoint: str, **more: str) -> S3Settings:
    given = {"s3_endpoint": endpoint, "s3_bucket": "shop", "s3_access_key": "k", "s3_secret_key": "s"}
    return S3Settings.model_validate({**given, **more})


@asynccontextmanager
async def direct_to(settings: S3Settings, **signed: str) -> AsyncIterator[DirectS3]:
    store = S3Store(settings, retries=0)
    links = {name.replace("_", "/"): link for name, link in signed.items()}
    async with DirectS3(settings, lambda: store, connections=4, signed=links) as direct:
        yield direct
    store.close()


class Seen:
    """The requests that a server got, and the status that it answers with."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        self.answer: bytes | None = None
        self.port = 0


@contextmanager
def seeing() -> Iterator[Seen]:
    seen = Seen()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen.requests.append((self.path, headers, body))
            if seen.answer is not None:
                self.wfile.write(seen.answer)
                self.close_connection = True
                return
            self.send_response(seen.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        seen.port = server.server_port
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.integration
async def test_an_image_is_stored_as_the_store_would(s3_store: S3Store) -> None:
    async with direct_to(s3_store._settings) as direct:
        done = await asyncio.gather(
            *(direct.put(f"{KEY}{number}", b"x" * 200_000, JPEG) for number in range(9))
        )
    assert done == [True] * 9
    stored = list(s3_store.list(keys.IMAGES))
    await asyncio.to_thread(s3_store.put, KEY, b"x" * 200_000, JPEG)
    assert {one.size for one in stored} == {200_000}
    assert {one.etag for one in stored} == {found.etag for found in [s3_store.head(KEY)] if found}


@pytest.mark.integration
async def test_a_shard_s_objects_are_the_store_s_own(s3_store: S3Store) -> None:
    async with DirectStore(s3_store._settings, connections=4) as store:

        def compared() -> None:
            assert store.head("batches/x") is None
            stored = store.put("batches/x", b"first", JSON, only_if_absent=True)
            with pytest.raises(AlreadyExistsError):
                store.put("batches/x", b"second", JSON, only_if_absent=True)
            assert stored == store.head("batches/x") == s3_store.head("batches/x")
            assert store.get("batches/x") == b"first"
            assert store.get("batches/x", offset=1, length=3, etag=stored.etag) == b"irs"
            assert store._store is None
            with pytest.raises(NotFoundError):
                store.get("batches/x", etag="0" * 32)
            with pytest.raises(NotFoundError):
                store.get("batches/y")
            assert store._store is not None

        await asyncio.to_thread(compared)


@pytest.mark.integration
@pytest.mark.parametrize(("pieces", "takes_the_sdk"), [(3, False), (30, True)])
async def test_a_long_fragment_goes_in_parts(s3_store: S3Store, pieces: int, takes_the_sdk: bool) -> None:
    async with DirectStore(s3_store._settings, connections=4) as store:
        chunks = (bytes([number]) * 100_000 for number in range(pieces))
        stored = await asyncio.to_thread(store.put_stream, "batches/x", chunks, JSON)
        assert stored == s3_store.head("batches/x")
        assert stored.size == pieces * 100_000
        assert (store._store is not None) == takes_the_sdk


@pytest.mark.integration
async def test_a_signed_link_is_followed_without_the_key(s3_store: S3Store) -> None:
    s3_store.put("batches/x", b"a plan", JSON)
    link = s3_store.signed_link("batches/x", 60)
    keyless = s3_store._settings.model_copy(update={"s3_access_key": "nobody"})
    async with direct_to(keyless, batches_x=link) as direct:
        assert await direct.get("batches/x") == b"a plan"
        assert await direct.get("batches/x", offset=2, length=4) == b"plan"
    async with direct_to(keyless, batches_x=link.replace("127.0.0.1", "localhost")) as direct:
        with pytest.raises(UnsureError, match="another host"):
            await direct.get("batches/x")


@pytest.mark.integration
async def test_a_connection_that_breaks_is_no_success(s3_store: S3Store) -> None:
    settings = s3_store._settings
    with relaying("127.0.0.2", int(settings.s3_endpoint.rpartition(":")[2])) as relay:
        async with direct_to(settings.model_copy(update={"s3_endpoint": relay.url()})) as direct:
            assert await direct.put(KEY, b"x", JPEG)
            relay.cut()
            assert not await direct.put(KEY, b"x", JPEG)
            relay.mend()
            assert await direct.put(KEY, b"x", JPEG)


@pytest.mark.parametrize("status", [204, 301, 307, 403, 409, 412, 500, 503])
async def test_any_other_answer_is_left_to_the_store(status: int) -> None:
    with seeing() as seen:
        seen.status = status
        async with direct_to(settings_of(f"http://127.0.0.1:{seen.port}")) as direct:
            assert not await direct.put(KEY, b"x", JPEG)
    assert len(seen.requests) == 1


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        OK,
        OK + b"Content-Length: 2\r\n\r\nx",
        OK + b"Content-Length: 0\r\n\r\nx",
        OK + b"Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
        OK + b"Content-Length: +0\r\n\r\n",
        OK + b"Content-Length : 0\r\n\r\n",
        OK + b"Content-Length: 0\n\r\n\r\n",
        OK + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"\r\n",
        OK + b"a: b\r\n c\r\nContent-Length: 0\r\n\r\n",
        OK + b"a: " + b"b" * 70_000,
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
        b"hello\r\n\r\n",
    ],
    ids=range(16),
)
async def test_an_answer_that_is_not_plain_is_left_to_the_store(answer: bytes) -> None:
    with seeing() as seen:
        seen.answer = answer
        async with direct_to(settings_of(f"http://127.0.0.1:{seen.port}")) as direct:
            assert not await direct.put(KEY, b"x", JPEG)
    assert len(seen.requests) == 1


async def test_a_server_whose_answers_are_never_plain_gets_each_object_once_in_the_end() -> None:
    with seeing() as seen:
        seen.answer = OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        async with direct_to(settings_of(f"http://127.0.0.1:{seen.port}")) as direct:
            for _ in range(10):
                assert not await direct.put(KEY, b"x", JPEG)
    assert len(seen.requests) == s3_wire.MOST_UNPLAIN


async def test_a_host_that_says_nothing_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_wire, "SILENCE_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        async with direct_to(settings_of(f"http://127.0.0.1:{deaf.getsockname()[1]}")) as direct:
            assert not await direct.put(KEY, b"x", JPEG)


async def test_a_connection_that_the_server_closed_meanwhile_costs_nothing() -> None:
    with seeing() as seen:
        seen.answer = OK + b"Content-Length: 0\r\n\r\n"  # and closes, without saying so
        async with direct_to(settings_of(f"http://127.0.0.1:{seen.port}")) as direct:
            assert [await direct.put(KEY, b"x", JPEG) for _ in range(5)] == [True] * 5


async def test_a_store_that_is_not_there_is_no_success(unused_port: int) -> None:
    async with direct_to(settings_of(f"http://127.0.0.1:{unused_port}")) as direct:
        assert not await direct.put(KEY, b"x", JPEG)


@pytest.mark.parametrize("size", [0, MAX_BYTES + 1])
async def test_what_is_long_or_empty_is_left_to_the_store(size: int, unused_port: int) -> None:
    async with direct_to(settings_of(f"http://127.0.0.1:{unused_port}")) as direct:
        assert not await direct.put(KEY, bytes(size), JPEG)


async def test_without_credentials_the_store_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, unused_port: int
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY", "AWS_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{unused_port}/")
    settings = settings_of(f"http://127.0.0.1:{unused_port}", s3_access_key="", s3_secret_key="")
    async with direct_to(settings) as direct:
        assert not await direct.put(KEY, b"x", JPEG)


async def test_credentials_of_the_environment_sign_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "from-outside")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    with seeing() as seen:
        settings = settings_of(f"http://127.0.0.1:{seen.port}", s3_access_key="", s3_secret_key="")
        async with direct_to(settings) as direct:
            assert await direct.put(KEY, b"x", JPEG)
    assert "Credential=from-outside/" in seen.requests[0][1]["authorization"]


PLACES: dict[str, dict[str, str]] = {
    "path": {"s3_endpoint": "http://minio:9000"},
    "a slash": {"s3_endpoint": "http://minio:9000/"},
    "https": {"s3_endpoint": "https://minio"},
    "forced path": {"s3_endpoint": "https://minio", "s3_addressing": "path"},
    "virtual": {"s3_endpoint": "http://minio:9000", "s3_addressing": "virtual"},
    "an address": {"s3_endpoint": "http://[fd00::1]:9000"},
    "aws": {"s3_region": "eu-central-1", "s3_endpoint": "https://s3.amazonaws.com"},
    "aws, virtual": {"s3_endpoint": "https://s3.amazonaws.com", "s3_addressing": "virtual"},
    "session": {"s3_endpoint": "http://minio:9000", "s3_session_token": "t"},
}


@pytest.mark.parametrize("settings", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_request_is_the_sdks_own_to_the_last_byte_of_its_signature(
    settings: dict[str, str], method: str
) -> None:
    given = settings_of(**{"endpoint": settings["s3_endpoint"], **settings})
    store = S3Store(given, retries=0)
    key, body = "csvfile/a b+ü~(1).json", b"{}" if method == "PUT" else b""
    more = {"Content-Type": JSON.content_type, "Cache-Control": JSON.cache_control} if body else {}
    client, identity = store._client, store.identity()
    url = client._base_url.build(
        method=method, region=given.s3_region, bucket_name=given.s3_bucket, object_name=key
    )
    credentials = client._provider.retrieve() if client._provider else None
    assert credentials is not None
    sdks, date = client._build_headers(url.netloc, dict(more), body or None, credentials)
    sign_v4_s3(
        method=method, url=url, region=given.s3_region, headers=sdks, credentials=credentials,
        content_sha256=str(sdks["x-amz-content-sha256"]), date=date,
    )  # fmt: skip
    place = place_of(given)
    assert place == store.place()
    asked = {name.lower(): value for name, value in more.items()}
    head = Signer(place, identity).head(method, key, asked, body, date.timestamp())
    first, *lines = head.decode().removesuffix("\r\n\r\n").split("\r\n")
    ours = dict(line.split(":", 1) for line in lines)
    assert first == f"{method} {url.path} HTTP/1.1"
    assert ours | {"user-agent": ""} == {name.lower(): value for name, value in sdks.items()} | {
        "user-agent": ""
    }
    store.close()


@pytest.mark.parametrize(
    "settings",
    [
        {"s3_endpoint": "https://s3.eu-central-1.amazonaws.com", "s3_region": "eu-central-1"},
        {"s3_endpoint": "https://s3.dualstack.eu-central-1.amazonaws.com", "s3_region": "eu-central-1"},
        {"s3_endpoint": "https://s3.amazonaws.com", "s3_bucket": "my.shop"},
        {"s3_endpoint": "https://minio", "s3_bucket": "my.shop"},
        {"s3_endpoint": "https://minio:443"},
        {"s3_endpoint": "https://oss-cn-beijing.aliyuncs.com"},
        {"s3_endpoint": "https://minio/path"},
    ],
    ids=["region", "dualstack", "dots on AWS", "dots", "port", "aliyun", "path"],
)
async def test_a_place_of_no_plain_rule_is_asked_for(settings: dict[str, str]) -> None:
    given = settings_of(**{"endpoint": settings["s3_endpoint"], **settings})
    assert place_of(given) is None
    if "/path" not in given.s3_endpoint:
        async with direct_to(given) as direct:
            assert direct._place.region == given.s3_region


def test_a_day_s_key_ends_with_the_day() -> None:
    place = place_of(settings_of("http://minio"))
    assert place is not None
    identity = S3Store(settings_of("http://minio")).identity()
    kept = Signer(place, identity)
    for at in (86_399.0, 86_400.0, 86_400.0 * 400):
        fresh = Signer(place, identity).head("PUT", "x", {}, b"x", at)
        assert kept.head("PUT", "x", {}, b"x", at) == fresh
