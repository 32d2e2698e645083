"""The pool of codec processes: up to one a core, each killable with the image it works on.

Used by `image`. A decoder that hangs, or crashes twice, costs one image; a new process takes its place at
once.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

import structlog

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec import wire
from imagebatch_jobrunner.codec.command import codec_command
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.codec.memory_budget import MemoryBudget
from imagebatch_jobrunner.codec.process import CodecProcess
from imagebatch_jobrunner.errors import CodecError, CodecStartError
from imagebatch_jobrunner.limits import CodecLimits, PictureLimits

log = structlog.get_logger()

_MOST_NEEDS = 2
"""How often a picture may ask for memory. A JPEG asks once to be requantised, and again when it has to be
decoded to pixels after all; the first grant is given back before the second.
"""

_AT_ONCE_BYTES = 80 * 1024 * 1024
"""What a picture gets without asking where so much is free: enough for a JPEG of two megapixels."""


class CodecPool:
    """`async with CodecPool(…) as pool: await pool.compress(data, options)`, from any number of tasks.

    `command` is what is started; tests pass one of their own.
    """

    def __init__(
        self, limits: CodecLimits, pictures: PictureLimits, command: Sequence[str] | None = None
    ) -> None:
        self._limits = limits
        self._pictures = pictures
        self._command = tuple(command or codec_command(limits))
        self._idle: asyncio.Queue[CodecProcess] = asyncio.Queue()
        self._all: set[CodecProcess] = set()
        self._begun = 1
        self._starting = asyncio.TaskGroup()
        self._memory = MemoryBudget(limits.picture_bytes)
        self._at_once_bytes = min(_AT_ONCE_BYTES, limits.picture_bytes // limits.processes)

    @property
    def pids(self) -> list[int]:
        """The process ids of the living codec processes."""
        return [codec.pid for codec in self._all]

    async def __aenter__(self) -> Self:
        """Start the first process. Raises CodecStartError when it does not start."""
        try:
            await self._add()
        except BaseException:
            await self._stop_all()
            raise
        await self._starting.__aenter__()
        return self

    async def _add(self) -> None:
        self._idle.put_nowait(await self._started())

    async def _idle_one(self) -> CodecProcess:
        """A process with nothing to do; one more is started when all of them are busy."""
        if self._idle.empty() and self._begun < self._limits.processes:
            self._begun += 1
            self._starting.create_task(self._add())
        return await self._idle.get()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._starting.__aexit__(kind, error, trace)
        finally:
            await self._stop_all()

    async def compress(self, data: bytes, options: Compression) -> Compressed:
        """Raises CodecError, or CodecStartError when no process can take the place of a lost one.

        A process that dies may have been killed for what others took of the memory, so the image is tried
        once more, alone, in a fresh one. Cancelling it ends its codec process for good: it is how a shard
        is stopped.
        """
        codec = await self._idle_one()
        try:
            return await self._settled(codec, self._ask(codec, data, options, self._memory))
        except _LostError:
            self._all.discard(codec)
        fresh = await self._started()
        try:
            async with self._memory.grant(self._limits.picture_bytes):
                alone = MemoryBudget(self._limits.picture_bytes)
                return await self._settled(fresh, self._ask(fresh, data, options, alone))
        except _LostError as error:
            self._replace(fresh)
            raise CodecError(ErrorCode.DECODER_CRASHED, f"the decoder {error.how}") from error
        except asyncio.CancelledError:
            fresh.kill()
            raise

    async def _settled(self, codec: CodecProcess, work: Coroutine[Any, Any, Compressed]) -> Compressed:
        """The result of `work`. Afterwards the process is idle again, or replaced when it can't go on.

        Raises CodecError, or _LostError for a process that ended: the caller replaces that one.
        """
        try:
            result = await work
        except CodecError as error:
            log.debug("image not compressed", code=error.code, cause=error.cause)
            if error.code == ErrorCode.TIMEOUT:
                self._replace(codec)
            else:
                self._idle.put_nowait(codec)
            raise
        except _LostError:
            raise
        except BaseException:
            codec.kill()
            raise
        self._idle.put_nowait(codec)
        return result

    async def _ask(
        self, codec: CodecProcess, data: bytes, options: Compression, memory: MemoryBudget
    ) -> Compressed:
        """Compress with what is free of `memory` at once, or else wait for what the picture needs."""
        left_s = self._limits.seconds
        loop = asyncio.get_running_loop()
        held = memory.take_at_once(self._at_once_bytes)
        try:
            started = loop.time()
            async with asyncio.timeout(left_s):
                header, body = await codec.compress(data, held, wire.Terms(options, self._pictures))
            left_s -= loop.time() - started
            for _ in range(_MOST_NEEDS):
                needed_bytes = wire.read_need(header)
                if needed_bytes is None:  # the header is an answer: a result, or an error
                    break
                memory.give_back(held)
                held = 0
                async with memory.grant(needed_bytes), asyncio.timeout(left_s):
                    header, body = await codec.go_on()
            return wire.read_answer(header, body)
        except TimeoutError:
            raise CodecError(
                ErrorCode.TIMEOUT, f"decoding and encoding took longer than {self._limits.seconds:g} s"
            ) from None
        except (OSError, EOFError, wire.WireError) as error:
            how = await codec.stop()
            log.warning("codec process lost", how=how, reason=str(error), stderr=codec.last_words)
            raise _LostError(how) from error
        finally:
            memory.give_back(held)

    def _replace(self, codec: CodecProcess) -> None:
        codec.kill()
        self._all.discard(codec)
        self._starting.create_task(self._exchange(codec))

    async def _exchange(self, codec: CodecProcess) -> None:
        await codec.stop()
        self._idle.put_nowait(await self._started())

    async def _started(self) -> CodecProcess:
        """A new process. Raises CodecStartError when several in a row did not start, with growing pauses."""
        for pause_s in self._limits.start_pauses_s:
            try:
                return await self._start()
            except CodecStartError as error:
                log.warning("codec process not started", reason=str(error), next_try_s=pause_s)
                await asyncio.sleep(pause_s)
        return await self._start()

    async def _start(self) -> CodecProcess:
        codec = await CodecProcess.start(self._command)
        self._all.add(codec)
        return codec

    async def _stop_all(self) -> None:
        codecs, self._all = self._all, set()
        for codec in codecs:
            codec.kill()
        for codec in codecs:
            await codec.stop()


class _LostError(Exception):
    """A codec process is gone; `how` is the end of a sentence about it."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how
