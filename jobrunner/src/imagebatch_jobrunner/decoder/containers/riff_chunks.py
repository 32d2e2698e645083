"""The chunks of a RIFF file, such as WebP: RFC 9649, 2.3 and 2.4. Used by the format `webp`."""

import struct
from collections.abc import Iterator

_FIRST_CHUNK_AT = 12


def chunks(data: bytes) -> "Iterator[tuple[bytes, bytes]]":
    """Each chunk's kind and content, as far as they are there."""
    at, stop = _FIRST_CHUNK_AT, min(len(data), end(data))
    while at + 8 <= stop:
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], data[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)


def end(data: bytes) -> int:
    """Where the file ends by its own length."""
    return 8 + int.from_bytes(data[4:8], "little")


def chunk(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) & 1)


def file(kind: bytes, parts: list[bytes]) -> list[bytes]:
    """The file of that kind that these chunks make."""
    return [b"RIFF", struct.pack("<I", sum(map(len, parts)) + 4), kind, *parts]
