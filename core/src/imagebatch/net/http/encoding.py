"""Content encodings, decoded piece by piece: a bomb never makes more than one piece at once.

Used for images and CSV sources instead of httpx's decoders, which inflate all that arrives at once. Words in
Content-Encoding that name no encoding (`none`, `utf-8`, `image/jpeg`) are ignored, as browsers do.
"""

import re
import zlib
from collections.abc import AsyncGenerator, Iterator

import httpx

PIECE_BYTES = 64 * 1024
"""The longest piece. It bounds a decoder's memory, whatever the ratio of the compression."""

MAX_MEMBERS = 1000
"""Of a gzip file. Each costs a decoder, however little it holds. 1,000 of BGZF's (64 KiB each) are 64 MB."""

_NOT_UNDONE = frozenset(
    {
        "br",
        "zstd",
        "compress",
        "x-compress",
        "exi",
        "pack200-gzip",
        "dcb",
        "dcz",
        "aes128gcm",
        "lzma",
        "bzip2",
    }
)
"""IANA's other content codings, and lzma and bzip2. Every other word is ignored."""

_ZLIB_METHOD = 8
_GZIP_START = b"\x1f\x8b"
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}

_IMAGE_START = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|BM.{12}|II\*\x00|MM\x00\*|....ftyp(?:avi[fs]|hei[cfsx]|mif1|msf1)"
    rb"|8BPS\x00\x01|\x00\x00\x01\x00[\x01-\xff]\x00|\xff\x0a|\x00\x00\x00\x0cJXL |\x00\x00\x00\x0cjP  ",
    re.DOTALL,
)
_IMAGE_START_BYTES = 16
"""No alternative of the pattern is longer."""


class UnsupportedEncodingError(httpx.DecodingError):
    """The body has an encoding that was not asked for and that is not decoded here."""


async def decoded(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The decoded body in pieces of at most PIECE_BYTES, made as they are asked for.

    A piece is empty when the bytes that arrived decode to nothing yet, so that the caller can count these
    bytes too. A body that begins as an image is not decoded, whatever the header says. Raises
    UnsupportedEncodingError before the first byte, DecodingError when the body is damaged or cut short.
    """
    names = _encodings(response.headers)
    start, pieces = b"", response.aiter_raw()
    if names:
        async for raw in pieces:
            start += raw
            if len(start) >= _IMAGE_START_BYTES:
                break
            yield b""
        names = [] if is_image(start) else names
    if not names:
        for at in range(0, len(start), PIECE_BYTES):
            yield start[at : at + PIECE_BYTES]
        async for raw in pieces:
            yield raw
        return
    inflater = Inflater(_only(names, response.headers))
    for piece in _inflated(inflater, start):
        yield piece
    async for raw in pieces:
        for piece in _inflated(inflater, raw):
            yield piece
    inflater.finish()


def is_encoded(headers: httpx.Headers) -> bool:
    """Whether the body must be decoded, so that its length is not the file's."""
    return bool(_encodings(headers))


def is_image(start: bytes) -> bool:
    """Whether a body with these first bytes is an image that needs no decoding."""
    return _IMAGE_START.match(start) is not None


def _encodings(headers: httpx.Headers) -> list[str]:
    """The encodings that Content-Encoding names."""
    given = headers.get("Content-Encoding", "").lower()
    names = (word.partition(";")[0].strip() for word in given.split(","))
    return [name for name in names if name in _WINDOW_BITS or name in _NOT_UNDONE]


def _only(names: list[str], headers: httpx.Headers) -> str:
    if len(names) == 1 and names[0] in _WINDOW_BITS:
        return names[0]
    given = headers["Content-Encoding"]
    raise UnsupportedEncodingError(f"Content-Encoding {given[:40]!a} is not decoded")


def _inflated(inflater: "Inflater", raw: bytes) -> Iterator[bytes]:
    yield inflater.feed(raw)
    while piece := inflater.more():
        yield piece


class Inflater:
    """Decodes gzip (RFC 1952, one member or more) or deflate (RFC 1950; some hosts send bare RFC 1951).

    Bytes behind the end that begin no further member are ignored.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._zlib = zlib.decompressobj(_WINDOW_BITS[encoding])
        self._rest = b""
        self._members = 0
        self._started = False

    def feed(self, raw: bytes) -> bytes:
        """Take encoded bytes, and return their first piece; `more` returns the others."""
        if raw and not self._started:
            self._started = True
            if self._encoding == "deflate" and raw[0] & 0x0F != _ZLIB_METHOD:
                self._zlib = zlib.decompressobj(-zlib.MAX_WBITS)
        self._rest += raw
        return self.more()

    def more(self) -> bytes:
        """The next piece of what was fed; b"" when all of it is decoded."""
        while self._rest and self._has_member():
            try:
                piece = self._zlib.decompress(self._rest, PIECE_BYTES)
            except zlib.error as error:
                raise httpx.DecodingError("its Content-Encoding is damaged") from error
            self._rest = self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail
            if piece:
                return piece
        # zlib keeps what did not fit into the last piece, and returns it without further input.
        return b"" if self._zlib.eof or not self._started else self._zlib.decompress(b"", PIECE_BYTES)

    def finish(self) -> None:
        if self._started and not self._zlib.eof:
            raise httpx.DecodingError("its Content-Encoding is cut short")

    def _has_member(self) -> bool:
        """Whether the rest is to be decoded; at the end of a member, go on to the next one."""
        if not self._zlib.eof:
            return True
        if self._encoding == "deflate" or not _GZIP_START.startswith(self._rest[:2]):
            self._rest = b""
            return False
        if len(self._rest) < len(_GZIP_START):
            return False
        self._members += 1
        if self._members >= MAX_MEMBERS:
            raise httpx.DecodingError(f"its Content-Encoding has more than {MAX_MEMBERS} members")
        self._zlib = zlib.decompressobj(_WINDOW_BITS[self._encoding])
        return True
