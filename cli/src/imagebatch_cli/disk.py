"""The room on the disks of the data folder."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from imagebatch.errors import StoreFullError

FULL_BYTES = 64 * 1024 * 1024
"""With less, the embedded S3 stores no more, which leaves its tables and Postgres what they need."""

ENOUGH_BYTES = 96 * 1024 * 1024
"""More than `FULL_BYTES`, so that a disk at its edge does not count as full and as roomy in turn."""

FEWEST_FILES = 100
LOOK_S = 2.0
"""One system call."""


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk that a folder is on."""

    folder: Path

    @property
    def is_full(self) -> bool:
        return not self._has(FULL_BYTES)

    @property
    def has_room(self) -> bool:
        return self._has(ENOUGH_BYTES)

    def trouble(self) -> StoreFullError | None:
        """Why nothing can be stored here, where the disk is full."""
        if not self.is_full:
            return None
        limit, free = FULL_BYTES >> 20, self._free_bytes >> 20
        return StoreFullError(
            f"the disk of {self.folder} is full: {free} MiB are free, and {limit} are needed; make room"
        )

    async def until_room(self) -> None:
        """Return once a disk that is full has room again."""
        if self.is_full:
            while not self.has_room:  # noqa: ASYNC110 - a disk sets no event
                await asyncio.sleep(LOOK_S)

    @property
    def _free_bytes(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def _has(self, room: int) -> bool:
        found = os.statvfs(self.folder)
        has_files = not found.f_files or found.f_favail >= FEWEST_FILES  # some systems don't count them
        return found.f_bavail * found.f_frsize >= room and has_files
