"""Content encodings of answers, undone piece by piece: no bomb ever makes more than a piece at once.

Used for images and CSV sources, in place of httpx's own decoders, which inflate whatever arrives whole.
"""

import zlib
from collections.abc import AsyncGenerator

import httpx

PIECE_BYTES = 64 * 1024

_NOTHING_TO_UNDO = frozenset({"", "identity", "aws-chunked"})
"""Some object stores repeat `aws-chunked`, which was the upload's encoding and not the object's."""

_ZLIB_METHOD = 8
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


class UnsupportedEncodingError(httpx.DecodingError):
    """The answer is encoded in a way that was not asked for and that is not undone here."""


async def decoded(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The body in pieces of at most PIECE_BYTES. Stop taking them, and no more are made.

    A piece is empty when what arrived makes nothing yet: so a caller sees that something came, and can bound
    that too. Raises UnsupportedEncodingError at once, DecodingError for what is damaged or cut short.
    """
    encoding = encoding_of(response.headers)
    if not encoding:
        async for raw in response.aiter_raw():
            yield raw
        return
    inflater = Inflater(encoding)
    async for raw in response.aiter_raw():
        yield inflater.feed(raw)
        while piece := inflater.more():
            yield piece
    inflater.finish()


def encoding_of(headers: httpx.Headers) -> str:
    """What is to be undone: a key of the decoders, or nothing. Raises UnsupportedEncodingError."""
    given = headers.get("Content-Encoding", "").lower()
    names = [name for name in map(str.strip, given.split(",")) if name not in _NOTHING_TO_UNDO]
    if not names:
        return ""
    if len(names) == 1 and names[0] in _WINDOW_BITS:
        return names[0]
    raise UnsupportedEncodingError(f"Content-Encoding {given[:40]!a} is not decoded")


class Inflater:
    """gzip (RFC 1952) or deflate (RFC 1950; some hosts mean the bare RFC 1951), one member only."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._zlib = zlib.decompressobj(_WINDOW_BITS[encoding])
        self._started = False

    def feed(self, raw: bytes) -> bytes:
        """The first piece that `raw` makes; then ask for `more`, until there is none."""
        if not raw:
            return b""
        if not self._started:
            self._started = True
            if self._encoding == "deflate" and raw[0] & 0x0F != _ZLIB_METHOD:
                self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._inflate(raw)

    def more(self) -> bytes:
        return self._inflate(self._zlib.unconsumed_tail)

    def finish(self) -> None:
        if self._started and not self._zlib.eof:
            raise httpx.DecodingError("its Content-Encoding is cut short")

    def _inflate(self, raw: bytes) -> bytes:
        if self._zlib.eof:
            if raw:
                raise httpx.DecodingError("its Content-Encoding ends before its bytes do")
            return b""
        try:
            piece = self._zlib.decompress(raw, PIECE_BYTES)
        except zlib.error as error:
            raise httpx.DecodingError("its Content-Encoding is damaged") from error
        if self._zlib.unused_data:
            raise httpx.DecodingError("its Content-Encoding ends before its bytes do")
        return piece
