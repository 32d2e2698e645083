"""Listing batches and changing them, on one machine: over the real records."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from imagebatch.batch.control import RecordedControl
from imagebatch.batch.lifecycle import Ending, Phase
from imagebatch.batch.retention import KeepDays, Policy
from imagebatch.outcome import Counts
from imagebatch.records import NewRequest, Records, Request, Result, statements
from imagebatch_api import openapi, tokens
from imagebatch_api.settings import ApiSettings

from .conftest import Connect, MakeApp

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

COMPLETE = Ending(Phase.COMPLETE, "done")
CANCELLED = Ending(Phase.CANCELLED, "Cancelled by its user", "cancelled", "Cancelled")
ALL_WELL, ONE_FAILED = Counts(3, 3, 0, 9, 4), Counts(3, 2, 1, 9, 4)


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
async def client(
    make_app: MakeApp, connect: Connect, records: Records, woken: list[str]
) -> AsyncIterator[httpx.AsyncClient]:
    control = RecordedControl(records, woken.append, lambda: None)
    async with connect(make_app(records=records, control=control)) as connected:
        yield connected


async def made(records: Records, request_id: str = "r1", uploaded_by: str | None = None) -> Request:
    new = NewRequest(
        request_id=request_id,
        rows=3,
        images=3,
        spec={"suspend": False, "cancel": False},
        uploaded_by=uploaded_by,
    )
    await records.create(new)
    found = await records.get(request_id)
    assert found is not None
    return found


async def ended(
    records: Records, ending: Ending = COMPLETE, counts: Counts = ALL_WELL, request_id: str = "r1"
) -> None:
    request = await records.get(request_id) or await made(records, request_id)
    assert await records.finish(request, ending, Result(counts), "{}", f"msg_{request_id}")


async def spec_of(records: Records, request_id: str = "r1") -> dict[str, Any]:
    found = await records.get(request_id)
    assert found is not None
    return dict(found.spec)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errors"][0]["code"]


# -- one batch -------------------------------------------------------------------------------------------


async def test_a_batch_is_the_same_as_its_status(client: httpx.AsyncClient, records: Records) -> None:
    await made(records)
    found = await client.get("/batches/r1")
    assert found.status_code == 200
    assert found.json() == (await client.get("/status/r1")).json()


@pytest.mark.parametrize("path", ["", "/cancel", "/suspend", "/resume", "/retry"])
async def test_what_is_not_there_is_404(client: httpx.AsyncClient, path: str, records: Records) -> None:  # noqa: ARG001
    method = "POST" if path else "DELETE"
    assert code_of(await client.request(method, f"/batches/none{path}")) == (404, "unknown_request")


async def test_a_405_names_both_methods(client: httpx.AsyncClient) -> None:
    answer = await client.put("/batches/r1")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"DELETE", "GET", "HEAD"}


@pytest.mark.parametrize(
    ("verb", "changed", "waiting"),
    [
        ("cancel", {"cancel": True}, "Stopping"),
        ("suspend", {"suspend": True}, "Suspended"),
        ("resume", {"suspend": False}, None),
    ],
)
async def test_a_pending_batch_is_changed_and_the_engine_woken(
    client: httpx.AsyncClient,
    records: Records,
    woken: list[str],
    verb: str,
    changed: dict[str, bool],
    waiting: str | None,
) -> None:
    await made(records)
    for _ in range(2):  # again is fine
        answer = await client.post(f"/batches/r1/{verb}")
        assert answer.status_code == 200
        assert (answer.json()["status"], answer.json()["reason"]) == ("pending", waiting)
    assert await spec_of(records) == {"suspend": False, "cancel": False, **changed}
    assert woken == ["r1", "r1"]


@pytest.mark.parametrize("verb", ["cancel", "suspend", "resume"])
async def test_at_its_end_a_batch_is_changed_no_more(
    client: httpx.AsyncClient, records: Records, verb: str
) -> None:
    await ended(records)
    assert code_of(await client.post(f"/batches/r1/{verb}")) == (409, "already_finished")


async def test_to_cancel_what_is_cancelled_is_fine(client: httpx.AsyncClient, records: Records) -> None:
    await ended(records, CANCELLED)
    answer = await client.post("/batches/r1/cancel")
    assert (answer.status_code, answer.json()["phase"]) == (200, "Cancelled")
    assert code_of(await client.post("/batches/r1/suspend")) == (409, "already_finished")


# -- retry -----------------------------------------------------------------------------------------------


async def test_a_batch_with_failures_is_tried_again(
    client: httpx.AsyncClient, records: Records, woken: list[str]
) -> None:
    await ended(records, counts=ONE_FAILED)
    answer = await client.post("/batches/r1/retry")
    document = answer.json()
    assert (answer.status_code, document["status"], document["phase"]) == (200, "pending", "Pending")
    found = await records.get("r1")
    assert found is not None
    assert (found.attempt, woken) == (2, ["r1"])
    assert code_of(await client.post("/batches/r1/retry")) == (409, "still_running")


async def test_what_was_cancelled_is_tried_again_without_its_cancelling(
    client: httpx.AsyncClient, records: Records
) -> None:
    await made(records)
    await records.change_spec("r1", {"cancel": True, "suspend": True})
    await ended(records, CANCELLED, Counts(3, 1, 0, 3, 1, skipped=2))
    assert (await client.post("/batches/r1/retry")).status_code == 200
    assert await spec_of(records) == {"suspend": False, "cancel": False}


async def test_without_a_failure_there_is_nothing_to_retry(
    client: httpx.AsyncClient, records: Records
) -> None:
    await ended(records)
    assert code_of(await client.post("/batches/r1/retry")) == (409, "nothing_to_retry")


async def test_a_retry_is_refused_once_its_working_files_are_gone(
    client: httpx.AsyncClient, records: Records, woken: list[str]
) -> None:
    await ended(records, counts=ONE_FAILED)
    await records.retentions.keep("r1", {"workingFiles": 1e-9})
    assert await records.retentions.claim(Policy(keep=KeepDays()), "", 60) is not None
    answer = await client.post("/batches/r1/retry")
    assert code_of(answer) == (409, "files_removed")
    assert "submit the CSV again" in answer.json()["detail"]
    document = (await client.get("/status/r1")).json()
    assert document["removed"]["working_files"] is not None
    assert (document["removed"]["outputs"], document["status"], woken) == (None, "complete", [])


async def test_many_retries_at_once_are_one_attempt(client: httpx.AsyncClient, records: Records) -> None:
    await ended(records, counts=ONE_FAILED)
    answers = await asyncio.gather(*(client.post("/batches/r1/retry") for _ in range(6)))
    assert {answer.status_code for answer in answers} <= {200, 409}
    found = await records.get("r1")
    assert found is not None
    assert found.attempt == 2


# -- delete ----------------------------------------------------------------------------------------------


async def test_what_runs_is_not_deleted(client: httpx.AsyncClient, records: Records) -> None:
    await made(records)
    assert code_of(await client.delete("/batches/r1")) == (409, "still_running")


async def test_what_is_deleted_is_gone_for_every_reader_at_once(
    client: httpx.AsyncClient, records: Records
) -> None:
    await ended(records)
    assert (await client.delete("/batches/r1")).status_code == 204
    for path in ("/status/r1", "/batches/r1", "/batches/r1/errors.csv", "/batches/r1/report.csv"):
        assert code_of(await client.get(path)) == (404, "unknown_request")
    assert (await client.get("/batches")).json()["batches"] == []
    assert code_of(await client.delete("/batches/r1")) == (404, "unknown_request")
    assert code_of(await client.post("/batches/r1/retry")) == (404, "unknown_request")
    assert code_of(await client.get("/batches", params={"after": "r1"})) == (422, "invalid_parameter")


async def test_a_deleted_batch_sends_no_webhook_any_more(client: httpx.AsyncClient, records: Records) -> None:
    await records.create(NewRequest(request_id="r1", webhook_url="http://hook.example/"))
    await ended(records)
    assert (await client.delete("/batches/r1")).status_code == 204
    assert await records.claim_deliveries(10, 60) == []


async def test_a_key_whose_batch_is_being_deleted_is_not_used_again_yet(
    client: httpx.AsyncClient, records: Records
) -> None:
    content = b"Serial Number,Product Name,Input Image Urls\n1,Shoe,https://a.test/1.jpg\n"
    key = {"idempotency-key": "spring", "content-type": "text/csv"}
    uploaded = await client.post("/upload", content=content, headers=key)
    request_id = uploaded.json()["request_id"]
    await ended(records, request_id=request_id)
    assert (await client.delete(f"/batches/{request_id}")).status_code == 204
    again = await client.post("/upload", content=content, headers=key)
    assert code_of(again) == (409, "being_deleted")
    assert int(again.headers["retry-after"]) > 0


# -- the list --------------------------------------------------------------------------------------------


async def all_pages(client: httpx.AsyncClient, **params: Any) -> list[list[str]]:
    pages: list[list[str]] = []
    after: dict[str, str] = {}
    while True:
        answer = await client.get("/batches", params={**params, **after})
        assert answer.status_code == 200
        document = answer.json()
        pages.append([each["request_id"] for each in document["batches"]])
        if document["next_after"] is None:
            return pages
        after = {"after": document["next_after"]}


async def test_no_batches_are_an_empty_page(client: httpx.AsyncClient, records: Records) -> None:  # noqa: ARG001
    assert (await client.get("/batches")).json() == {"batches": [], "next_after": None}


async def test_pages_have_every_batch_once_the_newest_first(
    client: httpx.AsyncClient, records: Records
) -> None:
    for number in range(5):
        await made(records, f"r{number}")
    assert await all_pages(client, limit=2) == [["r4", "r3"], ["r2", "r1"], ["r0"]]
    assert await all_pages(client, limit=5) == [["r4", "r3", "r2", "r1", "r0"]]
    assert await all_pages(client) == [["r4", "r3", "r2", "r1", "r0"]]


async def test_batches_of_one_moment_are_all_listed(
    client: httpx.AsyncClient, records: Records, database_url: str
) -> None:
    for number in range(5):
        await made(records, f"r{number}")
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE processing_requests SET created_at = '2026-03-01T12:00:00Z'")
    await connection.close()
    assert await all_pages(client, limit=2) == [["r4", "r3"], ["r2", "r1"], ["r0"]]


async def test_a_status_is_asked_for(client: httpx.AsyncClient, records: Records) -> None:
    await made(records, "running")
    await ended(records, request_id="done")
    await ended(records, CANCELLED, request_id="cancelled")
    assert await all_pages(client, status="pending") == [["running"]]
    assert await all_pages(client, status="complete") == [["done"]]
    assert await all_pages(client, status="failed") == [["cancelled"]]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=101", "limit=x", "limit=", "limit=1.5", "limit=-1", "limit=%C2%B2", "limit=1&limit=2",
        "status=running", "status=", "after=none", "after=", "after=a%00b", "offset=3", f"limit={'9' * 400}",
    ],
)  # fmt: skip
async def test_a_bad_query_is_refused(client: httpx.AsyncClient, records: Records, query: str) -> None:  # noqa: ARG001
    assert code_of(await client.get(f"/batches?{query}")) == (422, "invalid_parameter")


async def test_everybody_sees_and_touches_his_own(
    make_app: MakeApp, connect: Connect, records: Records, tmp_path: Path
) -> None:
    shop, rival = tokens.make(), tokens.make()
    file = tmp_path / "tokens"
    file.write_text(f"{tokens.entry_of('shop', shop)}\n{tokens.entry_of('rival', rival)}\n")
    await made(records, "mine", "shop")
    await made(records, "nobodys")
    async with connect(make_app(records=records, api_tokens_file=file)) as client:
        assert (await client.get("/batches")).status_code == 401
        for name in ("mine", "nobodys"):
            client.headers["authorization"] = f"Bearer {rival}"
            assert await all_pages(client) == [[]]
            for verb in ("cancel", "suspend", "resume", "retry"):
                assert code_of(await client.post(f"/batches/{name}/{verb}")) == (404, "unknown_request")
            assert code_of(await client.delete(f"/batches/{name}")) == (404, "unknown_request")
            assert code_of(await client.get("/batches", params={"after": name})) == (422, "invalid_parameter")
        client.headers["authorization"] = f"Bearer {shop}"
        assert await all_pages(client) == [["mine"]]
        assert (await client.post("/batches/mine/cancel")).status_code == 200


async def test_pages_are_read_from_an_index(records: Records, database_url: str) -> None:  # noqa: ARG001
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET enable_seqscan = off")
    for statement, more in ((statements.LIST, ()), (statements.LIST_OF_STATUS, ("failed",))):
        found = await connection.fetch(f"EXPLAIN {statement}", "shop", None, None, 20, *more)
        plan = "\n".join(row[0] for row in found)
        assert "Index Scan" in plan
        assert "Sort" not in plan
    await connection.close()


OTHERS = (
    ("GET", ""), ("GET", "/events"), ("GET", "/images"), ("GET", "/webhooks"), ("POST", "/webhooks/redeliver"),
    ("POST", "/cancel"), ("POST", "/suspend"), ("POST", "/resume"), ("POST", "/retry"), ("DELETE", ""),
)  # fmt: skip


@pytest.mark.parametrize(("method", "path"), OTHERS, ids=[f"{method} {path}" for method, path in OTHERS])
async def test_another_callers_batch_is_as_if_it_were_not_there(
    make_app: MakeApp, connect: Connect, records: Records, tmp_path: Path, method: str, path: str
) -> None:
    rival = tokens.make()
    (tmp_path / "tokens").write_text(str(tokens.entry_of("rival", rival)))
    await made(records, "mine", "shop")
    await ended(records, counts=ONE_FAILED, request_id="mine")
    async with connect(make_app(records=records, api_tokens_file=tmp_path / "tokens")) as client:
        assert (await client.request(method, f"/batches/mine{path}")).status_code == 401
        client.headers["authorization"] = f"Bearer {rival}"
        theirs = await client.request(method, f"/batches/mine{path}")
        nobodys = await client.request(method, f"/batches/none{path}")
        assert theirs.status_code == nobodys.status_code == 404
        assert theirs.json() == nobodys.json()
    found = await records.get("mine")
    assert found is not None
    assert (found.attempt, found.status) == (1, "complete")


def test_every_operation_on_a_batch_is_tried_by_another_caller() -> None:
    one = "/batches/{request_id}"
    described = {
        (method.upper(), path.removeprefix(one))
        for path, methods in openapi.document(ApiSettings())["paths"].items()
        for method in methods
        if path.startswith(one) and not path.endswith(".csv")
    }
    assert described == set(OTHERS)
