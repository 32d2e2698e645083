"""The codec processes as their parent sees them: up to one a core, each killable with the image it works on.

Used by `image`. A decoder that hangs, or crashes twice, costs one image; a new process takes its place at
once.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Self

import structlog

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec import heap, wire
from imagebatch_jobrunner.codec.channel import Channel, Frame, pair
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.codec.memory_budget import MemoryBudget
from imagebatch_jobrunner.errors import CodecError, CodecStartError
from imagebatch_jobrunner.limits import CodecLimits, PictureLimits

log = structlog.get_logger()

_START_SECONDS = 60.0
_GRACE_SECONDS = 5.0
_MOST_NEEDS = 2
"""What is left by the cheap way of a JPEG asks again; the first grant is given back before that."""
_STDERR_BYTES = 2048

_AT_ONCE_BYTES = 80 * 1024 * 1024
"""What a picture gets without asking where so much is free: enough for a JPEG of two megapixels."""

ENVIRONMENT = {
    **{name: os.environ[name] for name in ("SYSTEMROOT", "LD_LIBRARY_PATH") if name in os.environ},
    **heap.ENVIRONMENT,
}
"""Of a codec process."""


def codec_command(limits: CodecLimits) -> tuple[str, ...]:
    """The command of a codec process. `-I` keeps the environment and the working folder out of it.

    It may write what it compiles, as every Python, unless this one may not: without that each start compiles
    Pillow anew, which takes longer than all else. It does so before it sees the first image.
    """
    compiled = ("-B",) if sys.dont_write_bytecode else ()
    return (
        sys.executable, "-I", *compiled, "-m", "imagebatch_jobrunner.codec",
        "--memory-bytes", str(limits.memory_bytes),
        "--seconds", str(limits.seconds + _GRACE_SECONDS),
        "--nice", str(limits.nice),
    )  # fmt: skip


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
        self._idle: asyncio.Queue[_Codec] = asyncio.Queue()
        self._all: set[_Codec] = set()
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

    async def _idle_one(self) -> "_Codec":
        """A process with nothing to do; one more is begun when all that there are have something."""
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
        once more, alone, in a fresh one. Cancelling it ends its codec process for good: it is how a shard is
        stopped.
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

    async def _settled(self, codec: "_Codec", work: Coroutine[Any, Any, Compressed]) -> Compressed:
        """Its result; a process that can go on is idle again, one that can't is replaced or, when lost,
        told of.
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
        self, codec: "_Codec", data: bytes, options: Compression, memory: MemoryBudget
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
                if needed_bytes is None:  # it is done, or no picture, or over a limit
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

    def _replace(self, codec: "_Codec") -> None:
        codec.kill()
        self._all.discard(codec)
        self._starting.create_task(self._exchange(codec))

    async def _exchange(self, codec: "_Codec") -> None:
        await codec.stop()
        self._idle.put_nowait(await self._started())

    async def _started(self) -> "_Codec":
        """A new process. Raises CodecStartError when several in a row did not start, with growing pauses."""
        for pause_s in self._limits.start_pauses_s:
            try:
                return await self._start()
            except CodecStartError as error:
                log.warning("codec process not started", reason=str(error), next_try_s=pause_s)
                await asyncio.sleep(pause_s)
        return await self._start()

    async def _start(self) -> "_Codec":
        codec = await _Codec.start(self._command)
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


class _Codec:
    """One codec process. It does one image at a time."""

    def __init__(self, process: asyncio.subprocess.Process, channel: Channel) -> None:
        assert process.stderr is not None
        self._process = process
        self._channel = channel
        self._stderr = process.stderr
        self._terms: wire.Terms | None = None
        self._tail = b""
        self._draining = asyncio.create_task(self._drain())

    @classmethod
    async def start(cls, command: Sequence[str]) -> "_Codec":
        """Raises CodecStartError."""
        try:
            codec = await cls._begun(command)
        except OSError as error:  # such as too little memory, or too many processes
            raise CodecStartError(f"a codec process did not start: {error.strerror}") from error
        try:
            await codec.greet()
        except BaseException:
            codec.kill()
            await codec.stop()
            raise
        return codec

    @classmethod
    async def _begun(cls, command: Sequence[str]) -> "_Codec":
        ours, theirs = pair()
        channel = await Channel.over(ours)
        try:
            with theirs:
                end = theirs.fileno()
                process = await asyncio.create_subprocess_exec(
                    *command, stdin=end, stdout=end, stderr=asyncio.subprocess.PIPE, env=ENVIRONMENT
                )
        except BaseException:
            channel.close()
            raise
        return cls(process, channel)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def last_words(self) -> str:
        """The end of what the process wrote to standard error."""
        return self._tail.decode(errors="replace").strip()

    async def compress(self, data: bytes, granted_bytes: int, terms: wire.Terms) -> Frame:
        """Its answer, or its need for more memory. Raises WireError, EOFError or OSError when it is lost."""
        news = None if terms == self._terms else terms
        self._terms = terms
        return await self._channel.ask(wire.request(granted_bytes, news), data)

    async def go_on(self) -> Frame:
        """Grant what it needs, and let it answer. Raises as `compress` does."""
        return await self._channel.ask(wire.GO, b"")

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> str:
        """Make sure that the process is gone. How it ended, as the end of a sentence about it."""
        self._channel.close()
        try:
            async with asyncio.timeout(_GRACE_SECONDS):
                status = await self._process.wait()
        except TimeoutError:
            self.kill()
            status = await self._process.wait()
        await self._draining
        return _ended(status)

    async def greet(self) -> None:
        """Wait until it is ready. Raises CodecStartError."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                header, _ = await self._channel.frame()
        except (OSError, EOFError, TimeoutError, wire.WireError) as error:
            if isinstance(error, TimeoutError):
                self.kill()  # else it ended by itself, and Popen.kill would take its status from asyncio
            how = await self.stop()
            raise CodecStartError(f"a codec process did not start: it {how}. {self.last_words}") from error
        if header != wire.READY:
            raise CodecStartError("a codec process is not one")

    async def _drain(self) -> None:
        """Keep the process from blocking on standard error, and its noise out of the log."""
        while chunk := await self._stderr.read(_STDERR_BYTES):
            self._tail = (self._tail + chunk)[-_STDERR_BYTES:]


def _ended(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
