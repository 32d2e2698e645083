"""Content encodings: undone piece by piece, or refused."""

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from imagebatch.net.http.encoding import MAX_MEMBERS, PIECE_BYTES, UnsupportedEncodingError, decoded

pytestmark = pytest.mark.anyio

TEXT = bytes(range(256)) * 2000


class Sent(httpx.AsyncByteStream):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


def answer(encoding: str | None, data: bytes, size: int = 1000) -> httpx.Response:
    headers = {} if encoding is None else {"Content-Encoding": encoding}
    chunks = (data[start : start + size] for start in range(0, len(data), size))
    return httpx.Response(200, headers=headers, stream=Sent(chunks))


async def whole(response: httpx.Response) -> bytes:
    pieces = [piece async for piece in decoded(response)]
    assert all(len(piece) <= PIECE_BYTES for piece in pieces)
    return b"".join(pieces)


def bare_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        (None, TEXT),
        ("identity", TEXT),
        ("aws-chunked", TEXT),
        ("gzip", gzip.compress(TEXT)),
        ("GZIP", gzip.compress(TEXT)),
        ("x-gzip", gzip.compress(TEXT)),
        ("identity, gzip", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", bare_deflate(TEXT)),
        ("deflate", zlib.compress(TEXT) + b"more"),
        ("gzip;q=1", gzip.compress(TEXT)),
        ("gzip, utf-8", gzip.compress(TEXT)),
        ("gzip", gzip.compress(TEXT[:700]) + gzip.compress(TEXT[700:])),
        ("gzip", gzip.compress(TEXT) + bytes(16)),
        ("gzip", gzip.compress(TEXT) + b"more"),
        *((word, TEXT) for word in ("none", "UTF-8", "binary", "image/jpeg", "8bit", "chunked", "null", "*")),
    ],
)
@pytest.mark.parametrize("size", [37, 1000, 1_000_000])
async def test_known_encodings_are_undone(encoding: str | None, data: bytes, size: int) -> None:
    assert await whole(answer(encoding, data, min(size, PIECE_BYTES))) == TEXT


@pytest.mark.parametrize("encoding", [None, "gzip", "deflate"])
async def test_no_bytes_are_no_bytes_in_any_encoding(encoding: str | None) -> None:
    assert await whole(answer(encoding, b"")) == b""


@pytest.mark.parametrize(
    "encoding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "br, gzip", "BR;q=1"]
)
async def test_other_and_stacked_encodings_are_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedEncodingError, match="not decoded"):
        await whole(answer(encoding, gzip.compress(TEXT)))


async def test_a_refusal_quotes_little_of_what_the_host_said() -> None:
    with pytest.raises(UnsupportedEncodingError) as caught:
        await whole(answer("br, " + "z" * 10_000, b"x"))
    assert len(str(caught.value)) < 100


JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 900


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip", "deflate", "gzip, gzip", "utf-8"])
@pytest.mark.parametrize("size", [1, 37, 1_000_000])
async def test_what_is_plainly_an_image_is_one_whatever_the_header_says(encoding: str, size: int) -> None:
    assert await whole(answer(encoding, JPEG, min(size, PIECE_BYTES))) == JPEG


async def test_members_without_end_are_refused() -> None:
    with pytest.raises(httpx.DecodingError, match="members"):
        await whole(answer("gzip", gzip.compress(b"") * (MAX_MEMBERS + 1)))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (gzip.compress(TEXT)[:-9], "cut short"),
        (gzip.compress(TEXT) + gzip.compress(TEXT)[:-9], "cut short"),
        (gzip.compress(TEXT) + b"\x1f\x8bmore", "damaged"),
        (b"no gzip at all", "damaged"),
        (gzip.compress(TEXT)[:-8] + bytes(8), "damaged"),
    ],
    ids=["cut", "cut member", "no member", "garbage", "checksum"],
)
@pytest.mark.parametrize("size", [7, 1_000_000])
async def test_damage_is_reported(data: bytes, says: str, size: int) -> None:
    with pytest.raises(httpx.DecodingError, match=says):
        await whole(answer("gzip", data, size))


async def test_a_bomb_makes_no_more_than_a_piece_at_once() -> None:
    bomb = gzip.compress(bytes(200_000_000))
    taken = 0
    tracemalloc.start()
    try:
        async for piece in decoded(answer("gzip", bomb, 65_536)):
            taken += len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken == 200_000_000
    assert peak < taken // 50  # what other threads allocate meanwhile counts too
