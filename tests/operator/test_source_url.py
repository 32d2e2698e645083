"""A CSV behind a URL: what is taken, and what never is."""

import gzip
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import httpx
import pytest

from imagebatch.csv.ingest import Ingested
from imagebatch.errors import InputRefusedError
from imagebatch.net import transport
from imagebatch.net.guard import AddressPolicy
from imagebatch_operator.kube import Kube
from imagebatch_operator.source import SourceLimits, Sources, SourceWaitsError
from imagebatch_testing.memory_store import MemoryStore
from imagebatch_testing.web import Page, Web, serving

from .conftest import MakeBatch

pytestmark = pytest.mark.anyio

MIB = 1 << 20
CSV = b"Serial Number,Product Name,Input Image Urls\n1,Chair,http://shop.test/1.jpg\n"
LIMITS = SourceLimits(max_bytes=MIB, seconds=30.0, max_rows=1000)
NOW = "2999-01-01T00:00:00Z"
"""So that no URL is given up for its object's age."""


@asynccontextmanager
async def sources(web: Web, store: MemoryStore) -> AsyncIterator[Sources]:
    policy = AddressPolicy.parse(f"127.0.0.1/32:{web.port}")
    async with transport.client(policy, connections=2, timeout=httpx.Timeout(20)) as client:
        yield Sources(store, cast(Kube, None), client, LIMITS)


@pytest.fixture
async def web() -> AsyncIterator[Web]:
    async with serving({"/products.csv": Page(CSV)}) as server:
        yield server


async def snapshot(web: Web, store: MemoryStore, a_batch: MakeBatch, path: str) -> Ingested:
    batch = a_batch({"source": {"url": web.url(path)}}, creationTimestamp=NOW)
    async with sources(web, store) as opened:
        return await opened.snapshot(batch)


@pytest.mark.parametrize(
    "page",
    [
        Page(CSV),
        Page(CSV, chunked=True),
        Page(gzip.compress(CSV), headers={"Content-Encoding": "gzip"}),
        Page(b"moved", 302, {"Location": "/products.csv"}),
    ],
    ids=["plain", "chunked", "gzip", "moved"],
)
async def test_a_csv_behind_a_url_is_taken(
    web: Web, store: MemoryStore, a_batch: MakeBatch, page: Page
) -> None:
    web.routes["/x"] = page
    assert (await snapshot(web, store, a_batch, "/x")).plan.rows == 1


@pytest.mark.parametrize(
    ("page", "code"),
    [
        (Page(status=404), "source_not_found"),
        (Page(CSV, headers={"Content-Encoding": "br"}), "unsupported_encoding"),
        (Page(bytes(MIB + 1), chunked=True), "too_large"),
        (Page(status=302, headers={"Location": "/x"}), "source_not_found"),
        (Page(status=302, headers={"Location": "http://169.254.169.254/"}), "source_forbidden"),
        (Page(status=302, headers={"Location": "http://user:swordfish@127.0.0.1/"}), "source_forbidden"),
        (Page(status=302, headers={"Location": "ftp://127.0.0.1/"}), "source_forbidden"),
    ],
    ids=["missing", "brotli", "large", "circle", "metadata", "password", "ftp"],
)
async def test_what_can_never_be_used_is_refused(
    web: Web, store: MemoryStore, a_batch: MakeBatch, page: Page, code: str
) -> None:
    web.routes["/x"] = page
    with pytest.raises(InputRefusedError) as caught:
        await snapshot(web, store, a_batch, "/x?token=hush")
    assert caught.value.problems[0].code == code
    assert "hush" not in str(caught.value)
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize(
    "page",
    [Page(status=503), Page(gzip.compress(CSV)[:-4], headers={"Content-Encoding": "gzip"})],
    ids=["busy", "cut short"],
)
async def test_what_may_mend_itself_is_waited_for(
    web: Web, store: MemoryStore, a_batch: MakeBatch, page: Page
) -> None:
    web.routes["/x"] = page
    with pytest.raises(SourceWaitsError):
        await snapshot(web, store, a_batch, "/x")


@pytest.mark.parametrize("status", [200, 302])
async def test_a_bomb_takes_little_memory_also_in_a_redirect(
    web: Web, store: MemoryStore, a_batch: MakeBatch, status: int
) -> None:
    headers = {"Content-Encoding": "gzip", "Location": "/x"}
    web.routes["/x"] = Page(gzip.compress(b"a,b,c\n" * (20 * MIB)), status, headers)
    tracemalloc.start()
    try:
        with pytest.raises(InputRefusedError):
            await snapshot(web, store, a_batch, "/x")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB
