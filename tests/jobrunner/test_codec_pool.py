"""The codec processes: what a hostile image costs, and what such a process can't reach."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.codec.command import codec_command
from imagebatch_jobrunner.codec.pool import CodecPool
from imagebatch_jobrunner.errors import CodecError, CodecStartError
from imagebatch_jobrunner.limits import CodecLimits, PictureLimits
from imagebatch_testing.waiting import until

pytestmark = pytest.mark.anyio

Encode = Callable[..., bytes]

HOOKED = """
import os, signal, sys, tempfile
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.decoder import __main__ as codec
from imagebatch_jobrunner.errors import CodecError

def hooked(data, options, limits, admit):
    match data:
        case b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case b"exit":
            os._exit(3)
        case _ if data.startswith(b"slow "):  # holds its memory until the file that is named is there
            name, _, data = data.removeprefix(b"slow ").partition(b" ")
            admit(1 << 20)
            while not os.path.exists(name):
                pass
            admit = lambda needed: None
        case _ if data.startswith(b"once "):  # hang, where the link that is named is not there yet
            name, _, data = data.removeprefix(b"once ").partition(b" ")
            if not os.path.lexists(name):
                os.symlink(str(os.getpid()), name)
                while True:
                    pass
        case b"hang":
            while True:
                pass
        case b"memory":
            bytearray(1 << 40)
        case b"bug":
            raise RuntimeError("secret words")
        case b"noise":
            print("noise" * 100_000)
            print("noise" * 100_000, file=sys.stderr)
            raise CodecError(ErrorCode.CORRUPT, "noisy")
        case b"lie":
            os.write(answers.fileno(), b"no frame at all, but longer than its lengths")
        case b"file":
            tempfile.TemporaryFile(buffering=0).write(b"x")
        case b"environment":
            raise CodecError(ErrorCode.CORRUPT, " ".join(sorted(os.environ)))
    return real(data, options, limits, admit)

def pipes():
    global answers
    requests, answers = real_pipes()
    return requests, answers

real, codec.compress_image = codec.compress_image, hooked
real_pipes, codec._pipes = codec._pipes, pipes
codec.main()
"""


def hooked(limits: CodecLimits) -> tuple[str, ...]:
    """The command of a codec process that does what these tests ask for."""
    real = codec_command(limits)
    return (sys.executable, "-I", "-B", "-c", HOOKED, *real[real.index("--memory-bytes") :])


def a_pool(processes: int = 1, seconds: float = 20.0, command: Sequence[str] | None = None) -> CodecPool:
    limits = CodecLimits(
        processes=processes, seconds=seconds, memory_bytes=1 << 30, start_pauses_s=(0.01, 0.05)
    )
    return CodecPool(limits, PictureLimits(), command or hooked(limits))


async def error_of(work: Coroutine[Any, Any, object]) -> CodecError:
    with pytest.raises(CodecError) as caught:
        await work
    return caught.value


@pytest.fixture
def picture(encode: Encode, photo: Image.Image) -> bytes:
    return encode(photo, "JPEG", quality=90)


async def test_images_are_compressed_by_the_real_process(picture: bytes) -> None:
    limits = CodecLimits(processes=2)
    async with a_pool(2, command=codec_command(limits)) as pool:
        results = await asyncio.gather(*(pool.compress(picture, Compression()) for _ in range(8)))
    assert {(result.format, result.quality, result.width) for result in results} == {("jpeg", 45, 160)}
    assert all(0 < len(result.data) < len(picture) for result in results)


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        (b"crash", ErrorCode.DECODER_CRASHED, "SIGSEGV"),
        (b"exit", ErrorCode.DECODER_CRASHED, "status 3"),
        (b"lie", ErrorCode.DECODER_CRASHED, ""),
        (b"memory", ErrorCode.OUT_OF_MEMORY, "memory"),
        (b"bug", ErrorCode.CORRUPT, "the file is damaged"),
        (b"file", ErrorCode.CORRUPT, "the file is damaged"),
        (b"noise", ErrorCode.CORRUPT, "noisy"),
        (b"<html>", ErrorCode.NOT_AN_IMAGE, "HTML"),
    ],
    ids=["crash", "exit", "lie", "memory", "bug", "file", "noise", "html"],
)
async def test_a_bad_image_costs_one_image_and_the_next_succeeds(
    picture: bytes, data: bytes, code: ErrorCode, says: str
) -> None:
    async with a_pool() as pool:
        error = await error_of(pool.compress(data, Compression()))
        result = await pool.compress(picture, Compression())
    assert error.code == code
    assert says in error.message
    assert "secret" not in error.message + error.cause
    assert {b"bug": "RuntimeError", b"file": "FileNotFoundError"}.get(data, "") == error.cause
    assert result.quality == 45


async def test_a_hanging_decoder_is_killed_and_the_next_image_succeeds(picture: bytes) -> None:
    async with a_pool(seconds=1.0) as pool:
        hanging = pool.pids
        error = await error_of(pool.compress(b"hang", Compression()))
        result = await pool.compress(picture, Compression())
        assert pool.pids != hanging
    assert error.code == ErrorCode.TIMEOUT
    assert result.quality == 45


async def test_a_process_that_is_killed_from_outside_is_replaced(picture: bytes) -> None:
    async with a_pool() as pool:
        os.kill(pool.pids[0], 9)
        results = [await pool.compress(picture, Compression()) for _ in range(2)]
        assert len(pool.pids) == 1
    assert [result.quality for result in results] == [45, 45]


async def test_codec_processes_know_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEBATCH_S3_SECRET_KEY", "swordfish")
    async with a_pool() as pool:
        error = await error_of(pool.compress(b"environment", Compression()))
    assert "IMAGEBATCH" not in error.message
    assert "HOME" not in error.message


async def test_no_process_is_left_behind() -> None:
    async with a_pool(2) as pool:
        busy = asyncio.create_task(pool.compress(b"hang", Compression()))
        pids = pool.pids
        await asyncio.gather(*(error_of(pool.compress(b"bug", Compression())) for _ in range(2)))
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def starting(tmp_path: Path, failing: int, how: str) -> tuple[str, ...]:
    """The command of a codec process that fails so many times before it starts; each try leaves a file."""
    program = (
        f"import os, pathlib, tempfile\ntries = pathlib.Path({str(tmp_path)!r})\n"
        f"number = len(list(tries.iterdir()))\n(tries / str(os.getpid())).touch()\n"
        f"if number < {failing}: {how}\n" + HOOKED
    )
    real = codec_command(CodecLimits())
    return (sys.executable, "-I", "-B", "-c", program, *real[real.index("--memory-bytes") :])


KILLED = "os.kill(os.getpid(), 9)"


def starts(folder: Path) -> int:
    """How many processes `starting` began."""
    return len(list(folder.iterdir()))


@pytest.mark.parametrize("how", [KILLED, "raise SystemExit('no such decoder')"], ids=["killed", "ended"])
async def test_a_process_that_does_not_start_is_tried_again(tmp_path: Path, picture: bytes, how: str) -> None:
    async with a_pool(command=starting(tmp_path, 2, how)) as pool:
        result = await pool.compress(picture, Compression())
    assert result.quality == 45
    assert starts(tmp_path) == 3


@pytest.mark.parametrize(
    ("how", "says"),
    [(KILLED, "was ended by SIGKILL"), ("raise SystemExit('no such decoder')", "no such decoder")],
)
async def test_processes_that_never_start_are_told(tmp_path: Path, how: str, says: str) -> None:
    with pytest.raises(CodecStartError, match=says):
        async with a_pool(command=starting(tmp_path, 99, how)):
            raise AssertionError("never reached")
    assert starts(tmp_path) == 3


async def test_a_program_that_is_not_there_is_told_too() -> None:
    with pytest.raises(CodecStartError, match="No such file"):
        async with a_pool(command=("/nowhere/python",)):
            raise AssertionError("never reached")


async def test_a_process_that_is_killed_at_its_work_costs_no_image(tmp_path: Path, picture: bytes) -> None:
    at_work = tmp_path / "at-work"
    async with a_pool(seconds=60) as pool:
        first = pool.pids
        data = b"once " + bytes(at_work) + b" " + picture
        work = asyncio.create_task(pool.compress(data, Compression()))
        await until(at_work.is_symlink)
        os.kill(int(at_work.readlink().name), 9)
        result = await work
        assert pool.pids != first
        assert len(pool.pids) == 1
        again = await pool.compress(picture, Compression())
    assert (result.quality, again.quality) == (45, 45)


async def test_a_second_try_is_alone(tmp_path: Path, picture: bytes) -> None:
    """It waits for who takes memory now, and nobody takes any beside it."""
    at_work, go = tmp_path / "at-work", tmp_path / "go"
    async with a_pool(2, seconds=60) as pool:
        slow = asyncio.create_task(pool.compress(b"slow " + bytes(go) + b" " + picture, Compression()))
        await until(lambda: pool._memory.used > 0)
        work = asyncio.create_task(pool.compress(b"once " + bytes(at_work) + b" " + picture, Compression()))
        await until(at_work.is_symlink)
        first = set(pool.pids)
        os.kill(int(at_work.readlink().name), 9)
        await until(lambda: bool(set(pool.pids) - first))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.shield(work)
        go.touch()
        assert [one.quality for one in await asyncio.gather(slow, work)] == [45, 45]


async def test_processes_are_started_as_pictures_need_them(picture: bytes) -> None:
    async with a_pool(3) as pool:
        for _ in range(3):
            await pool.compress(picture, Compression())
        assert len(pool.pids) == 1
        await asyncio.gather(*(pool.compress(picture, Compression()) for _ in range(12)))
        await until(lambda: len(pool.pids) == 3)


async def test_images_that_end_their_processes_twice_hold_up_nobody(picture: bytes) -> None:
    """And no process is lost for good."""
    async with a_pool(2) as pool:
        others = [pool.compress(picture, Compression()) for _ in range(6)]
        crashing = [error_of(pool.compress(b"crash", Compression())) for _ in range(3)]
        done = await asyncio.gather(*others[:3], *crashing, *others[3:])
        results = [one for one in done if not isinstance(one, CodecError)]
        await until(lambda: len(pool.pids) == 2)
    assert [one.code for one in done if isinstance(one, CodecError)] == [ErrorCode.DECODER_CRASHED] * 3
    assert len(results) == 6


async def test_a_codec_process_ends_with_its_standard_input() -> None:
    limits = CodecLimits()
    process = await asyncio.create_subprocess_exec(
        *codec_command(limits), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.close()
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert b"ready" in output
