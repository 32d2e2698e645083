"""A PNG's chunks (W3C Recommendation, third edition, 5). Used to open, and to strip."""

import zlib
from collections.abc import Iterator

_AFTER_SIGNATURE = 8
_ANCILLARY = 0x20


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each chunk's kind and all of its bytes, up to the end chunk. Raises ValueError when one has no end."""
    at, kind = _AFTER_SIGNATURE, b""
    while kind != b"IEND":
        length = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            raise ValueError("a chunk has no end")
        yield kind, data[at:end]
        at = end


def without_damaged_extras(data: bytes) -> bytes:
    """The file without those chunks that a decoder does not need and whose checksum is wrong.

    Browsers ignore these. The file itself when there are none, or when its chunks can't be told.
    """
    try:
        found = list(chunks(data))
    except ValueError:
        return data
    whole = [chunk for kind, chunk in found if not (_is_ancillary(kind) and _is_damaged(chunk))]
    return data if len(whole) == len(found) else data[:_AFTER_SIGNATURE] + b"".join(whole)


def _is_ancillary(kind: bytes) -> bool:
    return kind.isalpha() and bool(kind[0] & _ANCILLARY)


def _is_damaged(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big")
