"""The page without a browser: its policy, its files, its forms, and what it shows to whom."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagebatch.batch.intake import RecordedIntake
from imagebatch.batch.lifecycle import Ending, Phase
from imagebatch.csv import rows
from imagebatch.outcome import Counts
from imagebatch.records import NewRequest, Records, Result
from imagebatch.storage import keys
from imagebatch.storage.store import CSV, Media
from imagebatch_api import tokens
from imagebatch_api.page.assets import Assets
from imagebatch_testing.memory_store import MemoryStore

pytestmark = pytest.mark.anyio

GOOD = b"Serial Number,Product Name,Input Image Urls\n1,Shoe,https://a.test/1.jpg\n"
CSV_PART = ("a.csv", GOOD, "application/vnd.ms-excel")
SHOP, RIVAL = tokens.make(), tokens.make()


@pytest.fixture
async def guarded(make_app: Any, connect: Any, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A server that asks for tokens, and whose database does not answer."""
    file = tmp_path / "tokens"
    file.write_text(str(tokens.entry_of("shop", SHOP)))
    async with connect(make_app(api_tokens_file=file)) as client:
        yield client


# -- policy and files ------------------------------------------------------------------------------------


async def test_the_page_runs_only_its_own_files(client: httpx.AsyncClient) -> None:
    response = await client.get("/")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"\son\w+=|style=|<style|https?://", response.text)
    scripts = re.findall(r"<script[^>]*>", response.text)
    assert [script for script in scripts if "src=" not in script and "application/json" not in script] == []
    assert 'enctype="multipart/form-data"' in response.text


async def test_pictures_of_others_are_shown_on_the_page_of_a_batch_only(client: httpx.AsyncClient) -> None:
    policies = [
        (await client.get(path)).headers["content-security-policy"] for path in ("/", "/page/batches/none")
    ]
    assert all("img-src 'self';" in policy for policy in policies)


@pytest.mark.parametrize("name", sorted(Assets.load().files))
async def test_the_files_are_kept_by_browsers_and_change_their_path(
    client: httpx.AsyncClient, name: str
) -> None:
    assets = Assets.load()
    response = await client.get(assets.path(name))
    assert response.status_code == 200
    assert "immutable" in response.headers["cache-control"]
    other = await client.get(assets.path(name).replace(assets.digest, "0" * 16))
    assert other.status_code == 404


async def test_scripts_name_only_files_that_are_there() -> None:
    files = Assets.load().files
    named = {name for file in files.values() for name in re.findall(rb'from "\./([\w.]+)"', file)}
    assert named
    assert {name.decode() for name in named} <= set(files)


# -- forms without a script ------------------------------------------------------------------------------


async def test_the_form_of_the_page_is_understood(client: httpx.AsyncClient, intake: Any) -> None:
    page = (await client.get("/")).text
    names = re.findall(r'<(?:input|select)[^>]* name="(\w+)"', page)
    assert names[-1] == "file"
    assert {"quality", "format", "columns", "preset", "encoding"} < set(names)
    fields = dict.fromkeys(names[:-1], "")
    response = await client.post("/upload", data=fields, files={"file": CSV_PART})
    assert response.status_code == 202
    response = await client.post("/page/upload", data=fields, files={"file": CSV_PART})
    assert response.status_code == 303
    assert response.headers["location"] == f"/page/batches/{intake.taken[1].request_id}"


async def test_a_refused_form_is_answered_with_a_page_that_names_the_lines(client: httpx.AsyncClient) -> None:
    bad = ("a.csv", GOOD + b"2,Hat,https://a.test/2.jpg,more,<b>\n", "text/csv")
    response = await client.post("/page/upload", files={"file": bad})
    assert (response.status_code, response.headers["content-type"]) == (422, "text/html; charset=utf-8")
    assert "Line 3:" in response.text
    assert "<b>\n" not in response.text


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
async def test_pages_of_others_may_not_use_the_forms(
    client: httpx.AsyncClient, intake: Any, origin: str
) -> None:
    headers = {"origin": origin}
    for path in ("/page/upload", "/page/batches/x/retry", "/page/batches/x/cancel"):
        response = await client.post(path, files={"file": CSV_PART}, headers=headers)
        assert response.status_code == 403
    assert not intake.taken


async def test_forms_of_the_page_say_where_they_come_from(client: httpx.AsyncClient) -> None:
    """By the policy no-referrer browsers send Origin: null, which is refused."""
    assert (await client.get("/")).headers["referrer-policy"] == "same-origin"
    assert (await client.get("/healthz")).headers["referrer-policy"] == "no-referrer"


async def test_a_batch_that_there_is_not_and_a_database_that_does_not_answer_are_pages(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/page/batches/none")
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert "the database does not answer" in response.text


# -- with tokens -----------------------------------------------------------------------------------------


async def test_the_page_asks_for_the_token_and_sends_it_in_no_form(guarded: httpx.AsyncClient) -> None:
    page = (await guarded.get("/")).text
    assert '<input id="token" type="password" autocomplete="off"' in page
    assert 'name="token"' not in page
    assert re.search(r'<button id="send"[^>]* disabled>', page), "without a script the form can't be sent"
    assert "can't send one" in page


@pytest.mark.parametrize("path", ["/page/batches", "/page/batches/any"])
async def test_without_a_token_a_page_shows_nothing_of_anybody(guarded: httpx.AsyncClient, path: str) -> None:
    response = await guarded.get(path)
    assert response.status_code == 200
    assert "This server asks for a token" in response.text
    assert "any" not in re.findall(r'data-id="(\w+)"', response.text)


@pytest.mark.parametrize(
    "path",
    ["/page/upload", "/page/batches/x/retry", "/page/batches/x/cancel", "/page/batches/x/webhooks/redeliver"],
)
async def test_without_a_token_no_form_is_taken(guarded: httpx.AsyncClient, path: str) -> None:
    assert (await guarded.post(path, files={"file": CSV_PART})).status_code == 401


async def test_a_wrong_token_opens_no_page(guarded: httpx.AsyncClient) -> None:
    for given in ("Bearer wrong", "Basic x"):
        assert (await guarded.get("/page/batches", headers={"authorization": given})).status_code == 401


# -- what it shows ---------------------------------------------------------------------------------------

REPORT = [
    (1, 1, "1", 'A "chair" <b>', "https://a.test/1.jpg", "https://s3.test/1.jpg", "", "", "jpeg", "jpeg", 800, 600,
     90_000, 30_000, 90, "exact", 45, ""),
    (2, 1, "2", "Lamp", "https://a.test/2.jpg", "", "http_status", "HTTP 404", *[""] * 10),
]  # fmt: skip


def a_report() -> bytes:
    return "".join(
        rows.record([str(cell) for cell in line]) for line in (rows.REPORT_COLUMNS, *REPORT)
    ).encode()


@pytest.mark.integration
class TestBatches:
    @pytest.fixture
    async def app(self, make_app: Any, records: Records, store: MemoryStore, tmp_path: Path) -> Any:
        file = tmp_path / "tokens"
        file.write_text(f"{tokens.entry_of('shop', SHOP)}\n{tokens.entry_of('rival', RIVAL)}")
        return make_app(
            records=records, intake=RecordedIntake(records, lambda _: None), store=store, api_tokens_file=file
        )

    @pytest.fixture
    async def shop(self, app: Any, connect: Any) -> AsyncIterator[httpx.AsyncClient]:
        async with connect(app) as client:
            client.headers["authorization"] = f"Bearer {SHOP}"
            yield client

    @pytest.fixture
    async def ended(self, records: Records, store: MemoryStore) -> str:
        """A batch of `shop` with a picture and a failure."""
        await records.create(NewRequest(request_id="b1", spec={}, uploaded_by="shop", rows=2, images=2))
        store.put(keys.image_report("b1"), a_report(), CSV)
        counts = Counts(2, 1, 1, 90_000, 30_000)
        result = Result(
            counts, {"http_status": 1}, keys.output("b1"), keys.errors("b1"), keys.image_report("b1")
        )
        batch = await records.get("b1")
        assert batch is not None
        assert await records.finish(batch, Ending(Phase.COMPLETE, "done"), result, "{}", "msg_b1")
        return "b1"

    async def test_a_finished_batch_shows_failures_with_advice_before_pictures(
        self, shop: httpx.AsyncClient, ended: str
    ) -> None:
        page = (await shop.get(f"/page/batches/{ended}")).text
        assert page.index("404 and 410: correct the link.") < page.index("https://s3.test/1.jpg")
        assert "90.0 kB → 30.0 kB" in page
        assert "67%" in page
        assert '<b>"' not in page
        assert "A &#34;chair&#34; &lt;b&gt;" in page
        assert (
            "img-src 'self' http: https:"
            in (await shop.get(f"/page/batches/{ended}")).headers["content-security-policy"]
        )

    async def test_others_see_neither_the_batch_nor_its_line(
        self, app: Any, connect: Any, ended: str
    ) -> None:
        async with connect(app) as rival:
            rival.headers["authorization"] = f"Bearer {RIVAL}"
            assert (await rival.get(f"/page/batches/{ended}")).status_code == 404
            assert "/page/batches/b1" not in (await rival.get("/page/batches")).text
            retried = await rival.post(f"/page/batches/{ended}/retry")
            assert retried.status_code == 404

    async def test_the_list_filters_and_says_when_there_is_none(
        self, shop: httpx.AsyncClient, ended: str
    ) -> None:
        assert f"/page/batches/{ended}" in (await shop.get("/page/batches")).text
        assert f"/page/batches/{ended}" in (await shop.get("/page/batches?status=complete")).text
        assert "No batch is so" in (await shop.get("/page/batches?status=pending")).text
        assert (await shop.get("/page/batches?status=odd")).status_code == 422

    async def test_a_retry_by_form_leads_back_to_the_batch(
        self, shop: httpx.AsyncClient, records: Records, ended: str
    ) -> None:
        answer = await shop.post(f"/page/batches/{ended}/retry")
        assert (answer.status_code, answer.headers["location"]) == (303, f"/page/batches/{ended}")
        batch = await records.get(ended)
        assert batch is not None
        assert (batch.status, batch.attempt) == ("pending", 2)

    async def test_a_running_batch_shows_its_newest_pictures_and_refreshes_without_a_script(
        self, shop: httpx.AsyncClient, records: Records, store: MemoryStore
    ) -> None:
        await records.create(NewRequest(request_id="b2", spec={}, uploaded_by="shop", rows=3, images=3))
        key = keys.image_prefix("b2") + keys.image_name(2, 1, "jpg")
        store.put(key, b"x" * 1500, Media.image("image/jpeg"))
        page = (await shop.get("/page/batches/b2")).text
        assert store.link(key) in page
        assert "1.5 kB" in page
        assert '<noscript><meta http-equiv="refresh"' in page
        stopped = await shop.post("/page/batches/b2/suspend")
        assert stopped.headers["location"] == "/page/batches/b2"
