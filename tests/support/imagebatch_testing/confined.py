"""Running a program, and all that it starts, in a memory cgroup of its own, where this machine lets us make one.

Where it doesn't, the memory of the processes is added up while they run, and the limit only compared.
"""

import asyncio
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_ROOT = Path("/sys/fs/cgroup")
_LOOK_S = 0.02


@dataclass(frozen=True)
class Ran:
    """How a program ended, and the most memory (bytes) that it had at once; `enforced` by the kernel or not."""

    code: int
    peak_bytes: int
    enforced: bool


async def run(command: Sequence[str], environment: Mapping[str, str], limit_bytes: int) -> Ran:
    """Run to the end. Where the limit is enforced, something of it is killed once it needs more."""
    group = _made(limit_bytes)
    if group is None:
        process = await asyncio.create_subprocess_exec(*command, env=environment)
        return await _watched(process)
    script = f'echo $$ > {group / "cgroup.procs"}; exec "$@"'
    process = await asyncio.create_subprocess_exec("/bin/sh", "-c", script, "sh", *command, env=environment)
    try:
        code = await process.wait()
        return Ran(code, _peak(group), enforced=True)
    finally:
        await _removed(group)


def _made(limit_bytes: int) -> Path | None:
    """A new group of version 1 or 2 with that limit and without swap; None when there can't be one."""
    name = f"imagebatch-{secrets.token_hex(4)}"
    for root, limit, swap in (
        (_ROOT / "memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"),
        (_ROOT, "memory.max", "memory.swap.max"),
    ):
        group = root / name
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(limit_bytes))
        except OSError:
            group.rmdir()
            continue
        if (group / swap).exists():
            (group / swap).write_text(str(limit_bytes if "memsw" in swap else 0))
        return group
    return None


def _peak(group: Path) -> int:
    found = next(
        path for name in ("memory.max_usage_in_bytes", "memory.peak") if (path := group / name).exists()
    )
    return int(found.read_text())


async def _removed(group: Path) -> None:
    """Its processes may take a moment to be gone."""
    for pid in (group / "cgroup.procs").read_text().split():
        os.kill(int(pid), 9)
    async with asyncio.timeout(10):
        while not _is_removed(group):  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(_LOOK_S)


def _is_removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


async def _watched(process: asyncio.subprocess.Process) -> Ran:
    top, peak = psutil.Process(process.pid), 0
    ending = asyncio.create_task(process.wait())
    while not ending.done():
        peak = max(peak, _held(top))
        await asyncio.wait([ending], timeout=_LOOK_S)
    return Ran(ending.result(), peak, enforced=False)


def _held(top: psutil.Process) -> int:
    try:
        return sum(one.memory_info().rss for one in [top, *top.children(recursive=True)])
    except psutil.Error:
        return 0
