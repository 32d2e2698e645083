"""Starts jobrunner processes: how the local engine runs one shard."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from imagebatch.batch.fair_room import FairRoom
from imagebatch.batch.shard import ShardId
from imagebatch.options import Compression
from imagebatch.settings import NetworkSettings, S3Settings, as_env

STOP_S = 10.0
MAX_LOG_BYTES = 20 * 1024 * 1024
PROGRESS = {"IMAGEBATCH_PROGRESS_SECONDS": "0.5", "IMAGEBATCH_PROGRESS_IMAGES": "1"}
_NOT_FOR_JOBRUNNERS = frozenset({"DATABASE_URL", "IMAGEBATCH_WEBHOOK_SECRET", "IMAGEBATCH_TOKEN"})


@dataclass(frozen=True, slots=True)
class ShardEnd:
    """How a jobrunner ended: its exit code (negative for a signal) and its own last word."""

    code: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardWork:
    """What is to be done with a shard."""

    compression: Compression
    plan_key: str


class ShardProcesses:
    """Runs shards as processes, a bounded number at once, fair by batch."""

    def __init__(self, s3: S3Settings, network: NetworkSettings, logs: Path, at_once: int) -> None:
        self._env = {
            **{name: value for name, value in os.environ.items() if name not in _NOT_FOR_JOBRUNNERS},
            **as_env(s3),
            **as_env(network),
            **PROGRESS,
            "IMAGEBATCH_STOP_ON_STDIN_EOF": "true",
            "IMAGEBATCH_PARALLELISM": str(at_once),
        }
        self._logs = logs
        self._room = FairRoom(at_once)

    async def run(self, shard: ShardId, work: ShardWork) -> ShardEnd:
        """Run a shard to its end. Cancelling stops it, and waits until it is gone."""
        async with self._room.of(shard.request_id):
            reason = self._logs / f"reason-{shard.request_id}-{shard.index}.txt"
            reason.touch()
            try:
                process = await self._start(shard, work, reason)
                code = await _finished(process)
                return ShardEnd(code, reason.read_text(errors="replace").strip())
            finally:
                reason.unlink(missing_ok=True)

    async def _start(self, shard: ShardId, work: ShardWork, reason: Path) -> asyncio.subprocess.Process:
        with self._log().open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "imagebatch_jobrunner",
                stdin=subprocess.PIPE,  # closes when we die, and the jobrunner ends itself
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={
                    **self._env,
                    "IMAGEBATCH_REQUEST_ID": shard.request_id,
                    "IMAGEBATCH_ATTEMPT": str(shard.attempt),
                    "JOB_COMPLETION_INDEX": str(shard.index),
                    "IMAGEBATCH_COMPRESSION": json.dumps(work.compression.as_spec()),
                    "IMAGEBATCH_PLAN_KEY": work.plan_key,
                    "IMAGEBATCH_TERMINATION_LOG": str(reason),
                },
            )

    def _log(self) -> Path:
        log = self._logs / "jobrunner.log"
        with contextlib.suppress(FileNotFoundError):
            if log.stat().st_size > MAX_LOG_BYTES:
                log.replace(self._logs / "jobrunner.1.log")
        return log


async def _finished(process: asyncio.subprocess.Process) -> int:
    try:
        return await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        raise
