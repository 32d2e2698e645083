"""Puts straight from an event loop: the SDK's own request, and no word on what is not a plain success."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from imagebatch import keys
from imagebatch.s3 import S3Store
from imagebatch.s3_direct import MAX_BYTES, DirectPuts
from imagebatch.settings import S3Settings
from imagebatch.store import JSON, Media
from imagebatch_testing.cluster.relay import relaying

pytestmark = pytest.mark.anyio

JPEG = Media.image("image/jpeg")
KEY = f"{keys.image_prefix('r')}0000001-001.jpg"


def a_store(endpoint: str, **settings: str) -> S3Store:
    given = {"s3_endpoint": endpoint, "s3_bucket": "shop", "s3_access_key": "k", "s3_secret_key": "s"}
    return S3Store(S3Settings.model_validate({**given, **settings}), retries=0)


class Seen:
    """The requests that a server got, and the status that it answers with."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.status = 200
        self.port = 0


@contextmanager
def seeing() -> Iterator[Seen]:
    seen = Seen()

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen.requests.append((self.path, headers, body))
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
    async with DirectPuts(s3_store, connections=4) as direct:
        done = await asyncio.gather(
            *(direct.put(f"{KEY}{number}", b"x" * 200_000, JPEG) for number in range(9))
        )
    assert done == [True] * 9
    stored = list(s3_store.list(keys.IMAGES))
    await asyncio.to_thread(s3_store.put, KEY, b"x" * 200_000, JPEG)
    assert {one.size for one in stored} == {200_000}
    assert {one.etag for one in stored} == {found.etag for found in [s3_store.head(KEY)] if found}


@pytest.mark.integration
async def test_a_connection_that_breaks_is_no_success(s3_store: S3Store) -> None:
    settings = s3_store._settings
    with relaying("127.0.0.2", int(settings.s3_endpoint.rpartition(":")[2])) as relay:
        store = S3Store(settings.model_copy(update={"s3_endpoint": relay.url()}), retries=0)
        async with DirectPuts(store, connections=1) as direct:
            assert await direct.put(KEY, b"x", JPEG)
            relay.cut()
            assert not await direct.put(KEY, b"x", JPEG)
            relay.mend()
            assert await direct.put(KEY, b"x", JPEG)
        store.close()


async def test_the_request_is_the_sdks_own() -> None:
    with seeing() as seen:
        store = a_store(f"http://127.0.0.1:{seen.port}")
        async with DirectPuts(store, connections=1) as direct:
            await asyncio.to_thread(store.put, "csvfile/a b+ü.json", b"{}", JSON)
            assert await direct.put("csvfile/a b+ü.json", b"{}", JSON)
        store.close()
    (sdks_path, sdks, sdks_body), (path, ours, body) = seen.requests
    assert (path, body) == (sdks_path, sdks_body)
    its_time = {"x-amz-date", "authorization"}
    chosen = {"accept-encoding"}  # by urllib3, not signed
    assert {name: value for name, value in ours.items() if name not in its_time} == {
        name: value for name, value in sdks.items() if name not in its_time | chosen
    }
    signed = [one["authorization"].partition("SignedHeaders=")[2].partition(",")[0] for one in (sdks, ours)]
    assert signed[0] == signed[1]


@pytest.mark.parametrize("status", [204, 301, 307, 403, 409, 412, 500, 503])
async def test_any_other_answer_is_left_to_the_store(status: int) -> None:
    with seeing() as seen:
        seen.status = status
        store = a_store(f"http://127.0.0.1:{seen.port}")
        async with DirectPuts(store, connections=1) as direct:
            assert not await direct.put(KEY, b"x", JPEG)
        store.close()
    assert len(seen.requests) == 1


async def test_a_store_that_is_not_there_is_no_success(unused_port: int) -> None:
    store = a_store(f"http://127.0.0.1:{unused_port}")
    async with DirectPuts(store, connections=1) as direct:
        assert not await direct.put(KEY, b"x", JPEG)
    store.close()


@pytest.mark.parametrize("size", [0, MAX_BYTES + 1])
async def test_what_is_long_or_empty_is_left_to_the_store(size: int, unused_port: int) -> None:
    store = a_store(f"http://127.0.0.1:{unused_port}")
    async with DirectPuts(store, connections=1) as direct:
        assert not await direct.put(KEY, bytes(size), JPEG)
    store.close()


async def test_without_credentials_the_store_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, unused_port: int
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY", "AWS_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{unused_port}/")
    store = a_store(f"http://127.0.0.1:{unused_port}", s3_access_key="", s3_secret_key="")
    async with DirectPuts(store, connections=1) as direct:
        assert not await direct.put(KEY, b"x", JPEG)
    store.close()


HTTPS = {"content-md5": "ndTkYSaMgDT1yFZOFVxnpg==", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
PLAIN = {"x-amz-content-sha256": "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}


@pytest.mark.parametrize(
    ("settings", "url", "headers"),
    [
        ({}, "http://minio:9000/shop/images/x.jpg", PLAIN),
        ({"s3_endpoint": "https://minio"}, "https://minio/shop/images/x.jpg", HTTPS),
        ({"s3_addressing": "virtual"}, "http://shop.minio:9000/images/x.jpg", PLAIN),
        (
            {"s3_endpoint": "https://s3.eu-central-1.amazonaws.com", "s3_region": "eu-central-1"},
            "https://shop.s3.eu-central-1.amazonaws.com/images/x.jpg",
            HTTPS,
        ),
        ({"s3_session_token": "t"}, "http://minio:9000/shop/images/x.jpg", {"x-amz-security-token": "t"}),
    ],
    ids=["path", "https", "virtual", "aws", "session"],
)
def test_the_payload_is_bound_as_the_sdk_binds_it(
    settings: dict[str, str], url: str, headers: dict[str, str]
) -> None:
    store = a_store(settings.get("s3_endpoint", "http://minio:9000"), **settings)
    put = store.signed_put("images/x.jpg", b"x", JPEG, store.identity())
    given = {name.lower(): value for name, value in put.headers.items()}
    assert put.url.geturl() == url
    assert given["host"] == put.url.netloc
    assert given.items() >= headers.items()
    assert all(f"{name}" in given["authorization"] for name in headers)
    store.close()
