"""One codec process as its parent sees it: started, given a picture at a time, stopped. Used by `pool`."""

import asyncio
import signal
from collections.abc import Sequence

from imagebatch_jobrunner.codec import wire
from imagebatch_jobrunner.codec.channel import Channel, Frame, pair
from imagebatch_jobrunner.codec.command import ENVIRONMENT, GRACE_SECONDS
from imagebatch_jobrunner.errors import CodecStartError

_START_SECONDS = 60.0
_STDERR_BYTES = 2048
"""How much of the end of standard error is kept for the log."""


class CodecProcess:
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
    async def start(cls, command: Sequence[str]) -> "CodecProcess":
        """Raises CodecStartError."""
        try:
            codec = await cls._begun(command)
        except OSError as error:  # such as too little memory, or too many processes
            raise CodecStartError(f"a codec process did not start: {error.strerror}") from error
        try:
            await codec.wait_until_ready()
        except BaseException:
            codec.kill()
            await codec.stop()
            raise
        return codec

    @classmethod
    async def _begun(cls, command: Sequence[str]) -> "CodecProcess":
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
        """Its answer, or its request for more memory.

        Raises WireError, EOFError or OSError when the process is lost.
        """
        new_terms = None if terms == self._terms else terms
        self._terms = terms
        return await self._channel.ask(wire.request(granted_bytes, new_terms), data)

    async def go_on(self) -> Frame:
        """Grant the memory it asked for; its answer. Raises as `compress` does."""
        return await self._channel.ask(wire.GO, b"")

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> str:
        """End the process, and say how it ended: the end of a sentence about it."""
        self._channel.close()
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                status = await self._process.wait()
        except TimeoutError:
            self.kill()
            status = await self._process.wait()
        await self._draining
        return _ended(status)

    async def wait_until_ready(self) -> None:
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
            raise CodecStartError("a codec process did not send READY")

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
