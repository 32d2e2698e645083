"""Which of a batch's stored images its CSVs name. A shard that was stopped may have stored more."""

import csv
import io
from collections.abc import Iterator
from typing import cast
from urllib.parse import urlsplit

from imagebatch.csv import rows
from imagebatch.errors import NotFoundError
from imagebatch.records import Request
from imagebatch.storage import keys
from imagebatch.storage.store import ObjectStore

_LINK = rows.REPORT_COLUMNS.index("Output Image Url")


def named_images(store: ObjectStore, request: Request) -> set[str] | None:
    """The images that the batch's report names, as `stem_of` has them; None where that is not known.

    Blocks; call it in a thread. Raises StoreError.
    """
    if request.output_key is None:
        has_earlier = store.head(keys.output(request.request_id)) is not None
        return None if has_earlier else set()
    if request.report_key is None:
        return None
    try:
        with store.open(request.report_key) as chunks:
            return {stem_of(urlsplit(link).path) for link in _links(chunks)}
    except (NotFoundError, UnicodeDecodeError, csv.Error, ValueError, IndexError):
        return None


def stem_of(path: str) -> str:
    """An image's row and slot, in its key or its link; not its format, of which it has one."""
    return path.rpartition("/")[2].partition(".")[0]


def _links(chunks: Iterator[bytes]) -> Iterator[str]:
    raw = cast(io.RawIOBase, _Stream(chunks))
    text = io.TextIOWrapper(io.BufferedReader(raw), encoding="utf-8-sig", newline="")
    header = text.readline()
    for cells in csv.reader(text, delimiter=rows.delimiter_of(header), strict=True):
        if link := cells[_LINK]:
            yield link


class _Stream(io.RawIOBase):
    """Chunks of bytes as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)
