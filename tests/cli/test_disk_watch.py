"""A full disk as the local system sees it."""

from pathlib import Path

import pytest

from imagebatch_cli import processes
from imagebatch_cli.data_folder import DataFolder
from imagebatch_cli.disk import ENOUGH_BYTES, FULL_BYTES, Disk
from imagebatch_cli.disk_watch import MAX_READ_BYTES, REFUSALS, LogReader
from imagebatch_cli.processes import Program, Service, ServiceFailedError, keep_running
from imagebatch_testing.small_disk import small_disk


def test_each_refusal_in_a_log_is_seen_once(tmp_path: Path) -> None:
    path = tmp_path / "s3.log"
    path.write_text("started\n")
    reader = LogReader(path)
    assert not reader.says(REFUSALS)
    with path.open("a") as log:
        log.write("write /x: no space ")
        log.flush()
        assert not reader.says(REFUSALS)
        log.write("left on device\n")
    assert reader.says(REFUSALS)
    with path.open("a") as log:
        log.write("x" * (MAX_READ_BYTES + 100) + "Disk quota exceeded".lower())
    assert reader.says(REFUSALS)
    assert not reader.says(REFUSALS)
    path.write_text("begun anew\n")
    assert not reader.says(REFUSALS)


@pytest.mark.integration
def test_a_disk_is_full_before_its_last_byte_is_taken(tmp_path: Path) -> None:
    with small_disk(tmp_path, 128) as disk:
        seen = Disk(tmp_path)
        assert (seen.is_full, seen.has_room, seen.trouble()) == (False, True, None)
        disk.fill((FULL_BYTES + ENOUGH_BYTES) // 2)
        assert (seen.is_full, seen.has_room) == (False, False)
        disk.empty()
        disk.fill(FULL_BYTES - (1 << 20))
        assert seen.is_full
        assert "63 MiB are free" in str(seen.trouble())


class Mortal:
    """A server that ends at once."""

    def __init__(self, folder: DataFolder) -> None:
        self.service = Service(folder, Program("mortal", ["true"], {}))
        self.started = 0

    async def start(self) -> None:
        self.started += 1

        async def is_ready() -> bool:
            return True

        await self.service.start(is_ready)


@pytest.mark.anyio
@pytest.mark.integration
async def test_ends_on_a_full_disk_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = 0

    async def until_room(_: Disk) -> None:
        nonlocal waits
        waits += 1

    monkeypatch.setattr(processes, "STABLE_S", 60.0)
    monkeypatch.setattr(Disk, "is_full", property(lambda _: waits < 5))
    monkeypatch.setattr(Disk, "until_room", until_room)
    folder = DataFolder(tmp_path / "data")
    with folder.locked():
        folder.prepare()
        server = Mortal(folder)
        await server.start()
        with pytest.raises(ServiceFailedError, match="mortal ended with code 0"):
            await keep_running(server, (0.0, 0.0))
    assert server.started == 1 + 5 + 2
