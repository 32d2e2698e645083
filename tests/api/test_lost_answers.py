"""Uploads whose answers from Postgres are lost, one statement after the other, before a real Postgres."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagebatch import records as records_module
from imagebatch.batch.intake import RecordedIntake
from imagebatch.records import Records
from imagebatch.settings import DatabaseSettings
from imagebatch.storage import keys
from imagebatch_api import uploads
from imagebatch_api.idempotency import request_id_of
from imagebatch_testing.memory_store import MemoryStore, held
from imagebatch_testing.postgres_proxy import PostgresProxy, before

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

GOOD = "Serial Number,Product Name,Input Image Urls\n1,Chair,https://a.test/1.jpg\n"
KEY = {"idempotency-key": "order-7"}
SOON_S, POLL_S = 20.0, 0.05
TYPE = {"content-type": "text/csv"}


@dataclass(frozen=True)
class Begun:
    """Two replicas of the API, `client` with a proxy before its Postgres."""

    proxy: PostgresProxy
    client: httpx.AsyncClient
    other: httpx.AsyncClient


Begin = Callable[[], AbstractAsyncContextManager[Begun]]


@pytest.fixture
def begin(
    records: Records,
    database_url: str,
    store: MemoryStore,
    make_app: Any,
    connect: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Begin:
    monkeypatch.setattr(uploads, "RESUBMIT_PAUSES_S", (0.0, 0.1, 0.1))

    @asynccontextmanager
    async def beginning() -> AsyncIterator[Begun]:
        async with before(database_url, tmp_path) as proxy:
            settings = DatabaseSettings(DATABASE_URL=proxy.url)  # type: ignore[call-arg]
            async with records_module.connect(settings) as through:
                first, second = (
                    make_app(records=of, intake=RecordedIntake(of, lambda _: None))
                    for of in (through, records)
                )
                async with connect(first) as client, connect(second) as other:
                    proxy.statements.clear()
                    yield Begun(proxy, client, other)

    assert held(store) == []
    return beginning


async def upload(client: httpx.AsyncClient, text: str = GOOD) -> httpx.Response:
    return await client.post("/upload", content=text, headers={**TYPE, **KEY})


async def test_whichever_answer_is_lost_an_accepted_upload_keeps_its_input(
    begin: Begin, records: Records, store: MemoryStore
) -> None:
    async with begin() as begun:
        assert (await upload(begun.client)).status_code == 202
        count = len(begun.proxy.statements)
    assert count >= 2
    for number in range(1, count + 1):
        await _lose_answer(begin, records, store, number)


async def _lose_answer(begin: Begin, records: Records, store: MemoryStore, number: int) -> None:
    request_id = request_id_of(KEY["idempotency-key"])
    await records.delete(request_id)
    store.delete(store.keys())
    async with begin() as begun:
        proxy = begun.proxy
        proxy.lose, proxy.cut_s = number, 0.5
        first = await upload(begun.client)
        assert proxy.lost
        found = await records.get(request_id)
        assert first.status_code in {202, 503}
        if found is not None:
            assert _input_of(store, request_id, found.upload), f"its input went with {proxy.lost}"
        elif "INSERT" not in proxy.lost:
            assert held(store) == []
        again = await _until_accepted(begun.client)
    (row,) = await records.pending()
    assert again.json()["request_id"] == request_id
    assert _input_of(store, request_id, row.upload)


async def _until_accepted(client: httpx.AsyncClient) -> httpx.Response:
    async with asyncio.timeout(SOON_S):
        while (response := await upload(client)).status_code != 202:
            assert response.status_code in {409, 503}
            await asyncio.sleep(POLL_S)
    return response


def _input_of(store: MemoryStore, request_id: str, of_upload: str) -> bool:
    places = keys.input_of_upload(request_id, of_upload)
    return {places.canonical, places.plan} <= set(store.keys())


async def test_an_upload_whose_answer_stays_lost_is_not_called_refused(
    begin: Begin, records: Records, store: MemoryStore
) -> None:
    async with begin() as begun:
        begun.proxy.lose_words, begun.proxy.cut_s = "INSERT INTO processing_requests", 60.0
        response = await upload(begun.client)
        assert begun.proxy.lost
    assert response.status_code == 503
    assert response.json()["errors"][0]["code"] == "outcome_unknown"
    (row,) = await records.pending()
    assert _input_of(store, row.request_id, row.upload)


async def overtaken(begun: Begun, tail: bytes) -> httpx.Response:
    """The answer to a slow upload that ends with `tail`, which one at another replica overtakes."""

    async def slowly() -> AsyncIterator[bytes]:
        yield GOOD.encode()
        assert (await upload(begun.other)).status_code == 202
        if tail:
            yield tail

    return await begun.client.post("/upload", content=slowly(), headers={**TYPE, **KEY})


async def test_uploads_with_one_key_share_no_object(
    begin: Begin, records: Records, store: MemoryStore
) -> None:
    async with begin() as begun:
        first = await overtaken(begun, b"2,Bag,https://a.test/2.jpg\n")
    assert first.status_code == 422
    assert first.json()["errors"][0]["code"] == "idempotency_key_reused"
    (row,) = await records.pending()
    assert row.rows == 1
    places = keys.input_of_upload(row.request_id, row.upload)
    assert held(store) == [places.canonical, places.plan]


async def test_an_overtaken_upload_of_the_same_file_is_accepted(
    begin: Begin, records: Records, store: MemoryStore
) -> None:
    async with begin() as begun:
        first = await overtaken(begun, b"")
    (row,) = await records.pending()
    assert (first.status_code, first.json()["request_id"]) == (202, row.request_id)
    assert _input_of(store, row.request_id, row.upload)
    assert len(held(store)) == 2


async def test_an_overtaken_upload_that_breaks_off_harms_nobody(
    begin: Begin, records: Records, store: MemoryStore
) -> None:
    async with begin() as begun:
        first = await overtaken(begun, b'2,"never closed')
    assert first.status_code == 422
    (row,) = await records.pending()
    assert _input_of(store, row.request_id, row.upload)
    assert len(held(store)) == 2


async def test_a_new_batch_costs_one_statement(begin: Begin, records: Records) -> None:
    async with begin() as begun:
        response = await begun.client.post("/upload", content=GOOD, headers=TYPE)
    assert response.status_code == 202
    assert len(begun.proxy.statements) == 1
    assert len(await records.pending()) == 1
