"""The id of a store, and that a store which ignores conditions is refused in words."""

import pytest

from imagebatch.errors import StoreError
from imagebatch.storage import keys
from imagebatch.storage.s3 import S3Store
from imagebatch.storage.store import Media, Stored
from imagebatch.storage.store_id import StoreId
from imagebatch_testing.memory_store import MemoryStore


class HeedlessStore(MemoryStore):
    """Overwrites whatever the condition."""

    def put(
        self,
        key: str,
        data: bytes,
        media: Media,
        *,
        only_if_absent: bool = False,  # noqa: ARG002 - ignored, as some do
    ) -> Stored:
        return super().put(key, data, media)


class FullStore(MemoryStore):
    """Writes nothing while it is full."""

    is_full = True

    def put(self, key: str, data: bytes, media: Media, *, only_if_absent: bool = False) -> Stored:
        if self.is_full:
            raise StoreError("full")
        return super().put(key, data, media, only_if_absent=only_if_absent)


def test_all_who_ask_get_the_same_id() -> None:
    store = MemoryStore()
    first, second = StoreId(store), StoreId(store)
    assert first.get() == second.get() == store.get(keys.STORE_ID).decode()
    assert store.writes == [keys.STORE_ID]


@pytest.mark.integration
def test_the_real_s3_keeps_to_conditions(s3_store: S3Store) -> None:
    found = StoreId(s3_store)
    assert found.get() == found.known


def test_a_store_that_ignores_conditions_is_refused_each_time() -> None:
    found = StoreId(HeedlessStore())
    for _ in range(2):
        with pytest.raises(StoreError, match="If-None-Match"):
            found.get()


def test_a_store_that_can_not_say_so_now_is_asked_again() -> None:
    store = FullStore()
    store.is_full = False
    made = StoreId(store).get()
    store.is_full, found = True, StoreId(store)
    assert (found.get(), found.known) == (made, "")
    store.is_full = False
    assert (found.get(), found.known) == (made, made)
