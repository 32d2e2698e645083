"""Batches that have ended, with objects such as they leave, and time that passes for them."""

from dataclasses import dataclass
from typing import Any

import asyncpg

from imagebatch.batch.lifecycle import Ending, Phase
from imagebatch.outcome import Counts
from imagebatch.records import NewRequest, Records, Request, Result
from imagebatch.storage import keys
from imagebatch.storage.store import CSV, JSON, Media, ObjectStore
from imagebatch_testing.memory_store import held

REPORT_HEAD = "row,slot,Serial Number,Product Name,Input Image Url,Output Image Url,code,error\r\n"
JPEG = Media.image("image/jpeg")


@dataclass(frozen=True)
class FinishedBatches:
    """Makes them. `url` is Postgres's, for what no program ever does to its rows."""

    records: Records
    store: ObjectStore
    url: str

    async def make(
        self,
        request_id: str,
        *,
        keep: dict[str, float] | None = None,
        phase: Phase = Phase.COMPLETE,
        skipped: int = 0,
        days_ago: float = 0.0,
    ) -> Request:
        """A batch with three stored images, of which the CSVs name two if some were skipped."""
        await self.records.create(NewRequest(request_id=request_id, spec={"keepDays": keep or {}}))
        request = await self.records.get(request_id)
        assert request is not None
        self.leave(request_id, named=2 if skipped else 3)
        result = Result(
            Counts(3 + skipped, 2 if skipped else 3, 1, 30, 12, skipped),
            {"http_status": 1},
            keys.output(request_id),
            None,
            keys.image_report(request_id),
        )
        assert await self.records.finish(request, Ending(phase, "done"), result, "{}", f"msg_{request_id}")
        if days_ago:
            await self.pass_days(days_ago, request_id)
        found = await self.records.get(request_id)
        assert found is not None
        return found

    def leave(self, request_id: str, named: int = 3) -> None:
        """Objects such as a batch has."""
        links = [self.store.link(key) for key in image_keys(request_id)[:named]]
        lines = [
            f'{row},1,S{row},"a ""chair"",\r\nred",http://shop/{row},{link},,\r\n'
            for row, link in enumerate(links, 1)
        ]
        self.store.put(keys.image_report(request_id), ("\ufeff" + REPORT_HEAD + "".join(lines)).encode(), CSV)
        self.store.put(keys.output(request_id), b"x" * 100, CSV)
        for key in image_keys(request_id):
            self.store.put(key, b"x" * 4, JPEG)
        for key in working_keys(request_id):
            self.store.put(key, b"x" * 10, JSON)

    async def pass_days(self, days: float, request_id: str) -> None:
        """Let the batch have ended so much earlier."""
        await self.execute(
            "UPDATE processing_requests SET finished_at = finished_at - make_interval(secs => 86400 * $1::float8) "
            "WHERE request_id = $2",
            days,
            request_id,
        )

    async def execute(self, statement: str, *values: Any) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement, *values)
        finally:
            await connection.close()

    def left(self) -> set[str]:
        """All keys that are there, beside the store's own id."""
        return set(held(self.store))


def image_keys(request_id: str) -> list[str]:
    return [f"{keys.image_prefix(request_id)}{keys.image_name(row, 1, 'jpg')}" for row in (1, 2, 3)]


def working_keys(request_id: str) -> list[str]:
    return [keys.plan(request_id), keys.canonical_input(request_id), keys.report(request_id, 1, 0)]


def csv_keys(request_id: str) -> list[str]:
    return [keys.output(request_id), keys.image_report(request_id)]
