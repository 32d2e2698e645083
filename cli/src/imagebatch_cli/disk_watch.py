"""Starts the embedded S3 again after its disk was full, once there is room.

A table of SeaweedFS's filer (LevelDB) that the disk refused one write takes no further one, however much room
there is later: what would be in it is refused until SeaweedFS is started again. And it looks once a minute
only whether its volumes may grow again. What it was refused stands in its log: so no moment is too short to
be seen, and an idle system asks nobody anything.
"""

import asyncio
from pathlib import Path

import structlog

from imagebatch_cli.disk import LOOK_S
from imagebatch_cli.processes import Service

REFUSALS = (b"no space left on device", b"disk quota exceeded")
LONGEST = max(map(len, REFUSALS))
MAX_READ_BYTES = 1024 * 1024

log = structlog.get_logger()


class LogReader:
    """What comes into a log, piece by piece."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0

    def says(self, words: tuple[bytes, ...]) -> bool:
        """Whether one of them came since the last call."""
        size = self._path.stat().st_size
        if size < self._at:  # it was begun anew
            self._at = 0
        if size == self._at:
            return False
        start = max(self._at - LONGEST, size - MAX_READ_BYTES, 0)
        with self._path.open("rb") as file:
            file.seek(start)
            new = file.read(size - start)
        self._at = size
        return any(word in new for word in words)


async def restart_after_full(service: Service) -> None:
    """Watch a server's disk and log, until cancelled. `keep_running` starts what is ended here."""
    reader, was_full = LogReader(service.log_path), False
    while True:
        await asyncio.sleep(LOOK_S)
        is_news = service.disk.is_full or reader.says(REFUSALS)
        if is_news and not was_full:
            log.warning("the disk is full", folder=str(service.disk.folder))
        was_full = was_full or is_news
        if was_full and service.disk.has_room:
            log.info("the disk has room again")
            await service.restart()
            was_full = False
