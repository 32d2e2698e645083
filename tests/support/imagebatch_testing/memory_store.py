"""An object store in memory, for tests that need no server."""

import hashlib
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from imagebatch.errors import AlreadyExistsError, NotFoundError
from imagebatch.storage import keys
from imagebatch.storage.store import Media, ObjectStore, Stored, Unfinished

_CHUNK_BYTES = 7
"""So small that every boundary is met."""


class MemoryWriter:
    """What was written to an object so far."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._stored: Stored | None = None

    @property
    def stored(self) -> Stored:
        assert self._stored is not None, "it is still being written"
        return self._stored

    @property
    def data(self) -> bytes:
        return b"".join(self._chunks)

    def write(self, data: bytes) -> None:
        self._chunks.append(bytes(data))

    def is_stored_as(self, stored: Stored) -> None:
        self._stored = stored


class MemoryStore:
    """Objects in a dict, with the semantics of `ObjectStore`. Safe to use from several threads.

    `writes` lists every key that was stored, in order, for tests about what happened when. `begun` are uploads
    that are not finished, and by `is_ahead` the store's clock goes before this machine's.
    """

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, Media]] = {}
        self._lock = threading.Lock()
        self._modified: dict[str, datetime] = {}
        self.writes: list[str] = []
        self.begun: list[Unfinished] = []
        self.is_ahead = timedelta()

    def put(self, key: str, data: bytes, media: Media, *, only_if_absent: bool = False) -> Stored:
        with self._lock:
            if only_if_absent and key in self._objects:
                raise AlreadyExistsError(f"{key} is there already")
            self._objects[key] = (bytes(data), media)
            self._modified[key] = datetime.now(UTC) + self.is_ahead
            self.writes.append(key)
            return self._stored(key)

    def put_stream(self, key: str, chunks: Iterable[bytes], media: Media) -> Stored:
        with self.writing(key, media) as writer:
            for chunk in chunks:
                writer.write(chunk)
        return writer.stored

    @contextmanager
    def writing(self, key: str, media: Media) -> Iterator["MemoryWriter"]:
        writer = MemoryWriter()
        yield writer
        writer.is_stored_as(self.put(key, writer.data, media))

    def get(self, key: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> bytes:
        with self._lock:
            if key not in self._objects:
                raise NotFoundError(f"there is no {key}")
            if etag and etag != self._stored(key).etag:
                raise NotFoundError(f"{key} was changed")
            data, _ = self._objects[key]
        return data[offset:] if length is None else data[offset : offset + length]

    @contextmanager
    def open(
        self, key: str, *, offset: int = 0, length: int | None = None, etag: str = ""
    ) -> Iterator[Iterator[bytes]]:
        data = self.get(key, offset=offset, length=length, etag=etag)
        yield (data[at : at + _CHUNK_BYTES] for at in range(0, len(data), _CHUNK_BYTES))

    def head(self, key: str) -> Stored | None:
        with self._lock:
            return self._stored(key) if key in self._objects else None

    def list(self, prefix: str) -> Iterator[Stored]:
        with self._lock:
            found = [self._stored(key) for key in sorted(self._objects) if key.startswith(prefix)]
        return iter(found)

    def folders(self, prefix: str) -> Iterator[str]:
        behind = (stored.key.removeprefix(prefix).partition("/") for stored in self.list(prefix))
        return iter(sorted({f"{prefix}{name}/" for name, slash, _ in behind if slash}))

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        return iter([each for each in self.begun if each.key.startswith(prefix)])

    def end(self, upload: Unfinished) -> None:
        self.begun.remove(upload)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.is_ahead

    def check(self) -> None:
        pass

    def delete(self, keys: Iterable[str]) -> None:
        with self._lock:
            for key in keys:
                self._objects.pop(key, None)

    def link(self, key: str) -> str:
        return f"https://images.test/{key}"

    def signed_link(self, key: str, lifetime_s: int) -> str:
        return f"https://images.test/{key}?signed={lifetime_s}"

    def user_links(self, key: str, lifetime_s: int) -> tuple[str, ...]:
        return (self.signed_link(key, lifetime_s),)

    def keys(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(sorted(self._objects))

    def media(self, key: str) -> Media:
        """The headers under which the object is served."""
        with self._lock:
            return self._objects[key][1]

    def _stored(self, key: str) -> Stored:
        data, _ = self._objects[key]
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return Stored(key, len(data), digest, self._modified[key])


def held(store: ObjectStore) -> list[str]:
    """The keys of all that a store holds, beside its own id and what programs put to see whether it stores."""
    found = (stored.key for stored in store.list(""))
    return [key for key in found if key != keys.STORE_ID and not key.endswith("/probe.txt")]
