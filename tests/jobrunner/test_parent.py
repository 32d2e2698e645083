"""What the parent of a shard and its codec processes cost: bounds that hold by counting, not by the clock."""

import asyncio
import subprocess
import sys
from collections.abc import Callable

import pytest
from PIL import Image

from imagebatch.errors import StoreError
from imagebatch.options import Compression
from imagebatch.outcome import ErrorCode
from imagebatch.storage.store import Media
from imagebatch_jobrunner.codec.command import codec_command
from imagebatch_jobrunner.codec.pool import CodecPool
from imagebatch_jobrunner.errors import CodecError
from imagebatch_jobrunner.limits import CodecLimits, PictureLimits
from imagebatch_jobrunner.store_threads import StoreThreads
from imagebatch_testing.memory_store import MemoryStore

pytestmark = pytest.mark.anyio

Encode = Callable[..., bytes]

PARENTS_LIBRARIES = frozenset(
    {"asyncio", "h11", "httpx", "minio", "pydantic", "pydantic_core", "ssl", "structlog", "urllib3"}
)
MOST_MODULES = 226

COUNTING = """
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.decoder import __main__ as codec
from imagebatch_jobrunner.errors import CodecError

frames = 0

def reading(requests):
    global frames
    frames += 1
    return read(requests)

def telling(data, *given):
    if data == b"how many?":
        raise CodecError(ErrorCode.CORRUPT, str(frames))
    return compress(data, *given)

read, codec._read = codec._read, reading
compress, codec.compress_image = codec.compress_image, telling
codec.main()
"""


def test_a_codec_process_loads_no_library_of_its_parent() -> None:
    program = "import sys, imagebatch_jobrunner.decoder.__main__; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True)
    modules = ran.stdout.split()
    assert PARENTS_LIBRARIES.isdisjoint(modules)
    assert len(modules) <= MOST_MODULES


async def frames_of(picture: bytes, count: int, picture_bytes: int) -> int:
    """How many frames a codec process read when it had compressed so many pictures."""
    limits = CodecLimits(picture_bytes=picture_bytes)
    real = codec_command(limits)
    command = (sys.executable, "-I", "-c", COUNTING, *real[real.index("--memory-bytes") :])
    async with CodecPool(limits, PictureLimits(), command) as pool:
        for _ in range(count):
            await pool.compress(picture, Compression())
        with pytest.raises(CodecError) as told:
            await pool.compress(b"how many?", Compression())
    assert told.value.code is ErrorCode.CORRUPT
    return int(told.value.message) - 1


async def test_a_small_picture_takes_one_trip_to_its_codec(encode: Encode, photo: Image.Image) -> None:
    picture = encode(photo, "JPEG", quality=90)
    assert await frames_of(picture, 5, picture_bytes=1 << 30) == 5


async def test_where_memory_is_short_each_picture_asks_first(encode: Encode, photo: Image.Image) -> None:
    picture = encode(photo, "JPEG", quality=90)
    assert await frames_of(picture, 5, picture_bytes=1) == 10


async def test_files_that_fit_no_buffer_arrive_whole_both_ways(encode: Encode) -> None:
    noise = Image.effect_noise((1500, 1400), 90)
    data = encode(Image.merge("RGB", (noise, noise.rotate(180), noise)), "PNG", compress_level=0)
    async with CodecPool(CodecLimits(processes=2), PictureLimits()) as pool:
        kept = Compression(format="png", quality="100")
        results = await asyncio.gather(*(pool.compress(data, kept) for _ in range(4)))
    assert len(data) > 6_000_000
    assert {len(result.data) for result in results} == {len(results[0].data)}
    assert len(results[0].data) > 1_000_000


async def test_a_put_takes_a_thread_only_when_it_did_not_work_without() -> None:
    store, answers = MemoryStore(), [True, False]

    async def directly(*_: object) -> bool:
        return answers.pop(0)

    async with StoreThreads(store, threads=1, put_directly=directly) as blocking:
        await blocking.put("images/1", b"x", Media("image/jpeg"))
        assert store.writes == []
        await blocking.put("images/2", b"x", Media("image/jpeg"))
    assert store.writes == ["images/2"]


async def test_what_the_store_says_of_a_put_that_did_not_work_is_told() -> None:
    class Full(MemoryStore):
        def put(self, *_: object, **__: object) -> object:  # type: ignore[override]
            raise StoreError("the disk is full")

    async def directly(*_: object) -> bool:
        return False

    async with StoreThreads(Full(), threads=1, put_directly=directly) as blocking:  # type: ignore[arg-type]
        with pytest.raises(StoreError, match="full"):
            await blocking.put("images/1", b"x", Media("image/jpeg"))
