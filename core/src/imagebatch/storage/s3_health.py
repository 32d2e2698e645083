"""What an S3's last answers say of it, so that asking whether it is well costs no request as a rule.

Used by `S3Store`.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from imagebatch.errors import AlreadyExistsError, StoreError
from imagebatch.storage import keys
from imagebatch.storage.store import Media, Stored

DIAL_S = 5.0

Trouble = Callable[[], StoreError | None]
"""What is known, without asking S3, of why it can't do its part."""


class _Store(Protocol):
    def head(self, key: str) -> Stored | None: ...

    def put(self, key: str, data: bytes, media: Media) -> Stored: ...


class S3Health:
    """Whether the last answer was as it should be, and whether the last put was taken."""

    def __init__(self, endpoint: str, trouble: Trouble) -> None:
        self._endpoint = urlsplit(endpoint)
        self.trouble = trouble
        self._is_well = False
        self._stores = True

    def answered(self, *, is_well: bool) -> None:
        self._is_well = is_well

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Remember whether what the block puts is stored. Raises at once what is known of why it is not."""
        known = self.trouble()
        if known is not None:
            raise known
        try:
            yield
        except AlreadyExistsError:
            self._stores = True
            raise
        except StoreError:
            self._stores = False
            raise
        self._stores = True

    def check(self, store: _Store) -> None:
        """Raise StoreError unless S3 does its part. It is asked to store something only after it did not."""
        known = self.trouble()
        if known is not None:
            raise known
        if not self._stores:
            store.put(keys.READY, b"ImageBatch was here", Media("text/plain"))
        elif not self._is_well:
            store.head(keys.READY)  # need not exist: that S3 says so is enough
        else:
            self._dial()

    def _dial(self) -> None:
        try:
            address = str(self._endpoint.hostname), _port(self._endpoint)
            socket.create_connection(address, DIAL_S).close()
        except OSError as error:
            self.answered(is_well=False)
            raise StoreError(f"S3 can't be reached: {error}") from error


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)
