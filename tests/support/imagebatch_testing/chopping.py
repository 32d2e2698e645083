"""Bytes in pieces, as they come from anywhere."""

from collections.abc import Iterator


def chopped(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Pieces of these sizes, and the rest."""
    start = 0
    for size in sizes:
        yield data[start : start + size]
        start += size
    yield data[start:]
