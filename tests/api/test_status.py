"""GET /status/{request_id} and GET /batches/{request_id}/errors.csv."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest

from imagebatch.batch.lifecycle import Ending, Phase
from imagebatch.batch.retention import KeepDays, Policy
from imagebatch.outcome import Counts, Qualities
from imagebatch.records import NewRequest, Records, Request, Result
from imagebatch.storage import keys
from imagebatch.storage.store import CSV
from imagebatch_api.status import ResultLinks, progress, status_document, timestamp
from imagebatch_testing.memory_store import MemoryStore

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ID = "7d0f6e4c-54f4-4c8e-9d9c-3a2f2a1b0c9d"


def a_request(**changes: Any) -> Request:
    request = Request(
        request_id=ID,
        owner="api",
        attempt=1,
        status="pending",
        phase=Phase.RUNNING,
        message="1 of 4 shards",
        error=None,
        spec={},
        input_sha256="",
        rows=3,
        counts=Counts(8, 3, 1, 1000, 400),
        errors_by_code={"http_status": 1},
        output_key=None,
        errors_key=None,
        webhook_url=None,
        created_at=NOON,
        started_at=NOON,
        finished_at=None,
    )
    return replace(request, **changes)


def test_the_document_of_a_running_batch() -> None:
    assert status_document(a_request(), ResultLinks()) == {
        "request_id": ID,
        "status": "pending",
        "output_csv": None,
        "error": None,
        "phase": "Running",
        "message": "1 of 4 shards",
        "progress": 0.5,
        "rows": 3,
        "reason": None,
        "waiting": None,
        "images": {"total": 8, "succeeded": 3, "failed": 1, "skipped": 0},
        "bytes": {"in": 1000, "out": 400},
        "failures": {"http_status": 1},
        "quality": None,
        "errors_csv": None,
        "report_csv": None,
        "removed": {"working_files": None, "outputs": None, "images": None},
        "created_at": "2026-03-01T12:00:00.000Z",
        "finished_at": None,
    }


def test_the_fields_of_the_first_contract_come_first() -> None:
    assert list(status_document(a_request(), ResultLinks()))[:4] == [
        "request_id",
        "status",
        "output_csv",
        "error",
    ]


@pytest.mark.parametrize(
    ("phase", "counts", "expected"),
    [
        (Phase.PENDING, Counts(), 0.0),
        (Phase.RUNNING, Counts(3, 1, 0), 0.3333),
        (Phase.RUNNING, Counts(2, 2, 2), 1.0),
        (Phase.COMPLETE, Counts(), 1.0),
        (Phase.CANCELLED, Counts(4, 1, 0), 0.25),
    ],
)
def test_progress_is_the_part_that_is_done(phase: Phase, counts: Counts, expected: float) -> None:
    assert progress(a_request(phase=phase, counts=counts)) == expected


def test_times_are_utc() -> None:
    there = timezone(timedelta(hours=5, minutes=30))
    assert timestamp(datetime(2026, 3, 1, 17, 30, tzinfo=there)) == "2026-03-01T12:00:00.000Z"


@pytest.mark.anyio
async def test_a_dead_database_is_503(client: httpx.AsyncClient) -> None:
    response = await client.get(f"/status/{ID}")
    assert response.status_code == 503
    assert response.json()["errors"][0]["code"] == "records_unavailable"


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/status/{}", "/batches/{}/errors.csv"])
@pytest.mark.parametrize("bad", ["%00", "a%20b", "x" * 500, "%FF", "-", "%E2%82%AC"])
async def test_an_id_that_cannot_be_is_404_without_asking(
    client: httpx.AsyncClient, path: str, bad: str
) -> None:
    assert (await client.get(path.format(bad))).status_code == 404


@pytest.mark.anyio
@pytest.mark.integration
class TestWithRecords:
    @pytest.fixture
    async def client(self, make_app: Any, connect: Any, records: Records) -> Any:
        async with connect(make_app(records=records)) as connected:
            yield connected

    async def finish(self, records: Records, ending: Ending, result: Result) -> None:
        await records.create(NewRequest(request_id=ID, rows=3, images=4))
        request = await records.get(ID)
        assert request is not None
        assert await records.finish(request, ending, result, "{}", "msg_1")

    @pytest.mark.parametrize("path", ["/status/{}", "/batches/{}/errors.csv"])
    async def test_an_unknown_id_is_404(self, client: httpx.AsyncClient, path: str) -> None:
        response = await client.get(path.format(ID))
        assert response.status_code == 404
        assert response.json()["errors"][0]["code"] == "unknown_request"

    async def test_a_new_batch_is_pending(self, client: httpx.AsyncClient, records: Records) -> None:
        await records.create(NewRequest(request_id=ID, rows=3, images=4))
        response = await client.get(f"/status/{ID}")
        document = response.json()
        assert response.headers["cache-control"] == "no-store"
        assert (document["status"], document["phase"], document["images"]["total"]) == (
            "pending",
            "Pending",
            4,
        )
        assert (document["output_csv"], document["errors_csv"]) == (None, None)

    async def test_a_finished_batch_links_its_files(
        self, client: httpx.AsyncClient, records: Records, store: MemoryStore
    ) -> None:
        errors = "Serial Number,Product Name,Input Image Urls,error_code,error\n1,Schürze,https://a.test/1,timeout,t\n"
        store.put(keys.errors(ID), errors.encode(), CSV)
        store.put(keys.image_report(ID), b"row,slot\n1,1\n", CSV)
        result = Result(
            counts=Counts(4, 3, 1, 9, 5),
            errors_by_code={"timeout": 1},
            output_key=keys.output(ID),
            errors_key=keys.errors(ID),
            report_key=keys.image_report(ID),
            qualities=Qualities(
                exact=1,
                approximate=1,
                assumed=1,
                kept=1,
                encoded=2,
                source_sum=260,
                encoded_sum=91,
                requantised=1,
            ),
        )
        await self.finish(records, Ending(Phase.COMPLETE, "3 of 4 images; 1 failed (timeout 1)"), result)
        document = (await client.get(f"/status/{ID}")).json()
        assert document["status"] == "complete"
        assert document["output_csv"] == f"https://images.test/csvfile/{ID}_output.csv"
        assert document["errors_csv"] == f"http://127.0.0.1:8080/batches/{ID}/errors.csv"
        assert document["failures"] == {"timeout": 1}
        assert document["quality"] == {
            "exact": 1, "approximate": 1, "assumed": 1, "kept": 1, "encoded": 2, "requantised": 1,
            "source_mean": 86.7, "encoded_mean": 45.5,
        }  # fmt: skip
        report = await client.get(document["report_csv"])
        assert (report.text, report.headers["content-type"]) == ("row,slot\n1,1\n", "text/csv; charset=utf-8")
        assert document["finished_at"].endswith("Z")
        download = await client.get(document["errors_csv"])
        assert download.text == errors
        assert download.headers["content-type"] == "text/csv; charset=utf-8"
        assert download.headers["content-disposition"] == f'attachment; filename="{ID}_errors.csv"'

    async def test_a_cancelled_batch_is_failed_and_says_so(
        self, client: httpx.AsyncClient, records: Records
    ) -> None:
        await self.finish(records, Ending(Phase.CANCELLED, "Cancelled by its user", "cancelled"), Result())
        document = (await client.get(f"/status/{ID}")).json()
        assert (document["status"], document["phase"], document["error"]) == (
            "failed",
            "Cancelled",
            "cancelled",
        )

    async def test_a_batch_without_errors_has_no_errors_file(
        self, client: httpx.AsyncClient, records: Records
    ) -> None:
        await self.finish(records, Ending(Phase.COMPLETE, "done"), Result(Counts(4, 4, 0)))
        response = await client.get(f"/batches/{ID}/errors.csv")
        assert response.status_code == 404
        assert response.json()["errors"][0]["code"] == "no_errors_file"

    async def test_a_batch_that_has_not_ended_has_no_report(
        self, client: httpx.AsyncClient, records: Records
    ) -> None:
        await records.create(NewRequest(request_id=ID))
        response = await client.get(f"/batches/{ID}/report.csv")
        assert (response.status_code, response.json()["errors"][0]["code"]) == (404, "no_report")

    async def test_an_errors_file_that_was_removed_is_404(
        self, client: httpx.AsyncClient, records: Records
    ) -> None:
        result = Result(Counts(4, 3, 1), {}, None, keys.errors(ID))
        await self.finish(records, Ending(Phase.FAILED, "m", "e"), result)
        assert (await client.get(f"/batches/{ID}/errors.csv")).status_code == 404

    async def test_csvs_whose_days_are_over_are_gone(
        self, client: httpx.AsyncClient, records: Records
    ) -> None:
        files = (keys.output(ID), keys.errors(ID), keys.image_report(ID))
        await self.finish(records, Ending(Phase.COMPLETE, "done"), Result(Counts(4, 3, 1), {}, *files))
        await records.retentions.keep(ID, {"outputs": 1e-9})
        assert await records.retentions.claim(Policy(keep=KeepDays()), "", 60) is not None
        document = (await client.get(f"/status/{ID}")).json()
        assert (document["output_csv"], document["errors_csv"], document["report_csv"]) == (None, None, None)
        assert document["removed"]["outputs"] is not None
        assert document["quality"] is not None
        for path in ("errors.csv", "report.csv", "images"):
            answer = await client.get(f"/batches/{ID}/{path}")
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (410, "results_removed")

    async def test_real_s3_serves_the_errors_file(
        self, make_app: Any, connect: Any, records: Records, s3_store: Any
    ) -> None:
        content = b"x" * 700_000
        s3_store.put(keys.errors(ID), content, CSV)
        await self.finish(
            records, Ending(Phase.FAILED, "m", "e"), Result(Counts(4, 3, 1), {}, None, keys.errors(ID))
        )
        async with connect(make_app(records=records, store=s3_store)) as client:
            assert (await client.get(f"/batches/{ID}/errors.csv")).content == content
