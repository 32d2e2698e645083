"""Runs a batch's shards as processes of this machine. Nothing but the row shows how it stands."""

import asyncio
import errno
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import structlog

from imagebatch.batch.executor import ShardCounts, ShardRuns
from imagebatch.batch.exit_codes import Exit
from imagebatch.batch.lifecycle import Waiting
from imagebatch.batch.plan import Plan
from imagebatch.batch.shard import ShardId
from imagebatch.batch.shard_ends import waiting_after
from imagebatch.batch.spec import BatchSpec
from imagebatch.csv.ingest import Ingested
from imagebatch.errors import InputRefusedError
from imagebatch.records import Request
from imagebatch.storage import keys
from imagebatch_cli.shard_history import ShardHistory, after_end, backoff_seconds
from imagebatch_cli.shards import ShardEnd, ShardProcesses, ShardWork

LOOK_S = 2.0
"""How often the progress of shards that run is read; their ends are seen at once."""

log = structlog.get_logger()


class ProcessExecutor:
    """An `Executor` of the attempt that `request` is at. `changed` is called when a shard's run is over."""

    def __init__(self, processes: ShardProcesses, request: Request, changed: Callable[[], None]) -> None:
        self._processes = processes
        self._request = request
        self._changed = changed
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._histories: dict[int, ShardHistory] = {}
        self._due_s: dict[int, float] = {}
        self._trouble: tuple[datetime, Waiting] | None = None
        self._gain = request.gain

    @property
    def downloads_source(self) -> bool:
        return False

    async def read_source(self) -> Ingested:
        """There is none: an upload was read when it came."""
        raise InputRefusedError.of("input_lost", "the batch's plan is no longer on S3")

    async def observe(self) -> ShardRuns:
        histories = self._histories.items()
        return ShardRuns(
            active=frozenset(self._runs),
            started=len(self._runs),
            ended={index: str(history.ends) for index, history in histories},
            given_up=frozenset(index for index, history in histories if history.given_up),
            trouble=self._trouble[1].message if self._trouble is not None else "",
            defect=next((history.defect for _, history in histories if history.defect), ""),
        )

    async def run(self, shards: frozenset[int], plan: Plan, spec: BatchSpec) -> float:  # noqa: ARG002
        now = time.monotonic()
        waiting = {index: self._due_s.get(index, now) for index in shards - self._runs.keys()}
        ready = sorted(index for index, due_s in waiting.items() if due_s <= now)
        plan_key = keys.plan(self._request.request_id, self._request.upload)
        work = ShardWork(compression=spec.compression, plan_key=plan_key)
        for index in ready[: max(spec.desired.parallelism - len(self._runs), 0)]:
            self._runs[index] = asyncio.create_task(self._run(index, work))
        return min([LOOK_S, *(due_s - now for due_s in waiting.values() if due_s > now)])

    async def _run(self, index: int, work: ShardWork) -> None:
        shard = ShardId(self._request.request_id, self._request.attempt, index)
        try:
            end = await self._processes.run(shard, work)
        except OSError as error:  # no process can be started, or no file be opened
            is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
            end = ShardEnd(Exit.TEMPORARY if is_full else Exit.SYSTEM, str(error))
        finally:
            del self._runs[index]
        history = after_end(self._histories.get(index, ShardHistory()), end.code, end.reason)
        self._histories[index] = history
        self._due_s[index] = time.monotonic() + backoff_seconds(history)
        if end.code != Exit.DONE:
            log.warning("shard ended", shard=index, code=end.code, reason=end.reason)
            self._trouble = datetime.now(UTC), waiting_after(end.code, end.reason)
        self._changed()

    async def waiting(self, last_done: datetime) -> Waiting | None:
        if self._trouble is None or self._trouble[0] <= last_done:
            return None
        return self._trouble[1]

    async def suspend(self) -> None:
        await self.stop()

    async def stop(self) -> bool:
        runs = list(self._runs.values())
        for run in runs:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        return True

    async def show(self, request: Request, shards: ShardCounts | None) -> None:  # noqa: ARG002
        """The row is written already. After a gain, runs that end badly are tried again soon."""
        if request.gain != self._gain:
            self._gain = request.gain
            self._histories = {
                index: replace(history, fruitless=0) for index, history in self._histories.items()
            }
