"""What a batch leaves on one machine goes when its days are over, by itself."""

from pathlib import Path
from typing import Any

import pytest

from imagebatch_testing.shop_and_system import Running, running
from imagebatch_testing.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


async def uploaded(system: Running, **fields: str) -> str:
    files = {"file": ("a.csv", system.csv(good=2, missing=1), "text/csv")}
    accepted = await system.up.http.post("/upload", files=files, params=fields)
    assert accepted.status_code == 202, accepted.text
    request_id = str(accepted.json()["request_id"])
    assert (await system.up.until_done(request_id))["status"] == "complete"
    return request_id


async def test_the_system_removes_what_is_no_longer_kept(tmp_path: Path) -> None:
    async with running(tmp_path, IMAGEBATCH_KEEP_WORKING_FILES_DAYS="1e-8") as system:
        short = await uploaded(system, keepOutputsDays="1e-8")
        long = await uploaded(system, keepWorkingFilesDays="0")
        image = (await image_of(system, long))["output_url"]
        await system.up.stop()
        await system.up.start()
        await until(lambda: not system.up.input_of(short))

        async def has_no_outputs() -> bool:
            return (await status_of(system, short))["removed"]["outputs"] is not None

        await until(has_no_outputs)
        document = await status_of(system, short)
        assert document["removed"]["working_files"] is not None
        assert (document["status"], document["output_csv"], document["images"]["succeeded"]) == (
            "complete",
            None,
            2,
        )
        refused = await system.up.http.post(f"/batches/{short}/retry")
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "files_removed")
        assert (await system.up.http.get(f"/batches/{short}/errors.csv")).status_code == 410
        assert len(system.up.input_of(long)) == 2
        assert (await system.up.http.get(image)).status_code == 200
        assert (await system.up.http.post(f"/batches/{long}/retry")).status_code == 200


async def status_of(system: Running, request_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await system.up.http.get(f"/status/{request_id}")).json()
    return found


async def image_of(system: Running, request_id: str) -> dict[str, Any]:
    """The first stored image of the report."""
    page = await system.up.http.get(f"/batches/{request_id}/images", params={"outcome": "succeeded"})
    found: dict[str, Any] = page.json()["images"][0]
    return found
