"""The program: do the shard that the environment names, and report how it ended.

The exit code is one of `imagebatch.batch.exit_codes.Exit`; whoever started it decides by that alone. Why it
failed stands in the log, as JSON lines on standard error, and in the termination log.
"""

import asyncio
from pathlib import Path

import structlog

from imagebatch import logs
from imagebatch.batch.exit_codes import Exit
from imagebatch.errors import SettingsError, StoreError
from imagebatch.settings import read
from imagebatch.storage.s3_direct import DirectStore
from imagebatch_jobrunner import stopping
from imagebatch_jobrunner.errors import CodecStartError, PoisonShardError
from imagebatch_jobrunner.progress import Pace
from imagebatch_jobrunner.services import open_services
from imagebatch_jobrunner.settings import JobrunnerSettings
from imagebatch_jobrunner.shard_run import ShardRun, process_images

log = structlog.get_logger()

_WINDOW_PER_CONNECTION = 4
_MAX_REASON_CHARS = 1000
_EXITS = (
    (PoisonShardError, Exit.POISON_SHARD),
    (StoreError, Exit.TEMPORARY),
    ((CodecStartError, MemoryError, OSError), Exit.SYSTEM),
)
"""A codec process that does not start may have been killed for want of memory: another node may have more."""


def main() -> int:
    logs.configure("info")
    try:
        settings = read(JobrunnerSettings)
    except SettingsError as error:
        log.critical("settings are not usable", reason=str(error))
        return Exit.DEFECT
    logs.configure(settings.log_level)
    structlog.contextvars.bind_contextvars(request_id=settings.request_id, shard=settings.shard_id.index)
    return asyncio.run(_supervised(settings))


async def _supervised(settings: JobrunnerSettings) -> Exit:
    """Do the shard; turn every way it can end into an exit code."""
    stop = stopping.listen(stdin_eof=settings.stop_on_stdin_eof)
    try:
        await _do(settings)
    except asyncio.CancelledError:
        if not stop.is_asked:
            raise
        stopping.leave(_ended(settings, Exit.TERMINATED, "stopped from outside"))
    except Exception as error:  # noqa: BLE001 - the edge of the program; logged, and shown by the exit code
        stopping.leave(_failed(settings, error))
    return Exit.DONE


async def _do(settings: JobrunnerSettings) -> None:
    work = ShardRun(
        shard=settings.shard_id,
        run=settings.run,
        plan_key=settings.keys_of_input.plan,
        window=settings.connections * _WINDOW_PER_CONNECTION,
        codecs=settings.codec_processes,
        store_threads=settings.store_connections,
        pace=Pace(settings.progress_seconds, settings.progress_images),
    )
    connections = settings.store_connections
    async with DirectStore(settings, connections=connections, signed=settings.signed_links) as store:
        await process_images(work, store, lambda: open_services(settings), store.direct.put)


def _failed(settings: JobrunnerSettings, error: Exception) -> Exit:
    causes = leaves(error)
    for kinds, code in _EXITS:
        found = next((cause for cause in causes if isinstance(cause, kinds)), None)
        if found is not None:
            return _ended(settings, code, str(found))
    log.critical("unexpected failure", exc_info=error)
    return _ended(settings, Exit.DEFECT, f"{type(causes[0]).__name__}: {causes[0]}")


def leaves(error: BaseException) -> list[BaseException]:
    """The single errors in a group of groups."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


def _ended(settings: JobrunnerSettings, code: Exit, reason: str) -> Exit:
    line = " ".join(reason.split())[:_MAX_REASON_CHARS]
    log.error("the shard was not done", exit=code.name, reason=line)
    path = Path(settings.termination_log)
    try:
        if path.exists():
            path.write_text(line + "\n")
    except OSError as error:
        log.warning("termination log not written", reason=str(error))
    return code
