"""What ImageBatch needs of an object store.

Two implementations: `S3Store`, and one in memory for unit tests; `DirectStore` has what a shard needs of it.
All calls block; callers on an event loop run them in threads. Errors are `StoreError` and its kin.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as the store has it."""

    key: str
    size: int
    etag: str
    modified: datetime | None = field(default=None, compare=False)
    """By the store's clock, where the object was listed."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload in parts that was begun, and is not finished."""

    key: str
    upload_id: str
    begun_at: datetime


@dataclass(frozen=True, slots=True)
class Media:
    """The headers under which an object is served."""

    content_type: str
    cache_control: str = ""
    disposition: str = ""

    @classmethod
    def image(cls, content_type: str) -> "Media":
        return cls(content_type, "public, max-age=31536000, immutable")


CSV = Media("text/csv; charset=utf-8", "no-cache", "attachment")
JSON = Media("application/json", "no-cache")


class ObjectWriter(Protocol):
    """An object on its way into a store."""

    @property
    def stored(self) -> Stored:
        """What became of it, once `writing` is left."""
        ...

    def write(self, data: bytes) -> None:
        """Add to what is stored."""
        ...


class ShardStore(Protocol):
    """Objects by key in one bucket, as far as a shard's work needs them."""

    def put(self, key: str, data: bytes, media: Media, *, only_if_absent: bool = False) -> Stored:
        """Store `data`. Raises AlreadyExistsError when `only_if_absent` and the key is taken."""
        ...

    def put_stream(self, key: str, chunks: Iterable[bytes], media: Media) -> Stored:
        """Store what `chunks` yields. When `chunks` raises, nothing is stored and the error passes on."""
        ...

    def get(self, key: str, *, offset: int = 0, length: int | None = None, etag: str = "") -> bytes:
        """Read an object or a byte range of it. With `etag`, raises NotFoundError for another version."""
        ...

    def open(
        self, key: str, *, offset: int = 0, length: int | None = None, etag: str = ""
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Read in chunks: `with store.open(key) as chunks`."""
        ...

    def head(self, key: str) -> Stored | None:
        """The object's size and ETag; None when there is none."""
        ...


class ObjectStore(ShardStore, Protocol):
    """All that is done with objects."""

    def writing(self, key: str, media: Media) -> AbstractContextManager[ObjectWriter]:
        """Store what is written: `with store.writing(key, media) as writer`.

        The object is there, whole, when the block is left; when it is left by an error, nothing is stored.
        Several may be open at once.
        """
        ...

    def list(self, prefix: str) -> Iterator[Stored]:
        """Every object whose key begins with `prefix`, by key."""
        ...

    def folders(self, prefix: str) -> Iterator[str]:
        """What the keys under `prefix` have behind it up to the next slash, whole, each once."""
        ...

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """The uploads in parts of objects under `prefix` that are not finished."""
        ...

    def end(self, upload: Unfinished) -> None:
        """End an upload, and free what was sent of it; one that is over is no error."""
        ...

    def now(self) -> datetime:
        """The time by the store's own clock, by which objects are dated."""
        ...

    def check(self) -> None:
        """Raise StoreError unless the store can be reached.

        A store that answered last time is only asked for a connection, so that an idle program sends no
        requests.
        """
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete the objects; those that do not exist are no error."""
        ...

    def link(self, key: str) -> str:
        """The link under which clients read the object; it contains no comma."""
        ...

    def signed_link(self, key: str, lifetime_s: int) -> str:
        """A link with which whoever has it may read this one object for so long (at most 7 days)."""
        ...

    def user_links(self, key: str, lifetime_s: int) -> tuple[str, ...]:
        """Signed links of which a user takes the first that answers: at the public address, if one is set,
        then at the endpoint.
        """
        ...
