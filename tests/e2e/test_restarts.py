"""Servers of `imagebatch up` that die under it are started again."""

import asyncio
from pathlib import Path

import httpx
import psutil
import pytest

from imagebatch_cli import processes
from imagebatch_cli.data_folder import DataFolder
from imagebatch_cli.processes import Program, Service, ServiceFailedError, keep_running
from imagebatch_testing.local import Up, csv_of, picture
from imagebatch_testing.waiting import until
from imagebatch_testing.web import Page, serving

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

LONG_S = 60.0


async def test_postgres_and_s3_that_are_killed_come_back(tmp_path: Path) -> None:
    async with (
        serving({"/1.jpg": Page(picture(1))}) as shop,
        Up(tmp_path / "data", IMAGEBATCH_ALLOWED_NETWORKS=f"127.0.0.1/32:{shop.port}") as up,
    ):
        for words in ("postgres -D", "weed"):
            victim = next(one for one in up.family() if words in " ".join(one.cmdline()))
            victim.kill()
            await until(lambda victim=victim: not _runs(victim))  # type: ignore[misc]
            await until(lambda: _is_ready(up), LONG_S)
            accepted = await _accepted(up, csv_of([[shop.url("/1.jpg")]]))
            assert (await up.until_done(accepted))["status"] == "complete"


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


async def _is_ready(up: Up) -> bool:
    try:
        return (await up.http.get("/readyz")).is_success
    except httpx.HTTPError:
        return False


async def _accepted(up: Up, content: bytes) -> str:
    """Upload until it is accepted: a server that has just come back may refuse at first."""
    async with asyncio.timeout(LONG_S):
        while True:
            response = await up.http.post("/upload", files={"file": ("a.csv", content, "text/csv")})
            if response.status_code == 202:
                return str(response.json()["request_id"])
            await asyncio.sleep(0.2)


class Mortal:
    """A server that ends at once; `started` counts."""

    def __init__(self, folder: DataFolder) -> None:
        self.service = Service(folder, Program("mortal", ["true"], {}))
        self.started = 0

    async def start(self) -> None:
        self.started += 1

        async def is_ready() -> bool:
            return True

        await self.service.start(is_ready)


async def test_a_server_that_ends_again_and_again_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "STABLE_S", LONG_S)
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        folder.prepare()
        server = Mortal(folder)
        await server.start()
        with pytest.raises(ServiceFailedError, match="mortal ended with code 0"):
            await keep_running(server, (0.0, 0.0, 0.0))
    assert server.started == 4
