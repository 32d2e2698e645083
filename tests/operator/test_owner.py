"""Whose batch it is: what the operator writes of an object whose row is missing."""

import pytest

from imagebatch.errors import OtherStoreError, RecordsError
from imagebatch.records import Records
from imagebatch.storage import keys
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.store import JSON
from imagebatch_operator.recorded import recorded, restore
from imagebatch_testing.memory_store import MemoryStore

from .conftest import MakeBatch

STORE = AsyncStore(MemoryStore())


@pytest.mark.parametrize(
    ("annotations", "uploaded_by"),
    [
        ({"imagebatch.dev/uploaded-by": "shop"}, "shop"),
        ({}, None),
        ({"imagebatch.dev/uploaded-by": ""}, None),
    ],
    ids=["of a token", "of kubectl", "of an empty name"],
)
def test_an_object_says_whose_it_is(
    a_batch: MakeBatch, annotations: dict[str, str], uploaded_by: str | None
) -> None:
    assert a_batch(annotations=annotations).uploaded_by == uploaded_by
    assert a_batch().uploaded_by is None


@pytest.mark.anyio
@pytest.mark.integration
async def test_a_row_that_was_lost_comes_back_with_its_owner(a_batch: MakeBatch, records: Records) -> None:
    batch = a_batch(
        {"requestId": "r1"},
        {"phase": "Complete", "message": "done"},
        annotations={"imagebatch.dev/uploaded-by": "shop"},
    )
    await restore(records, batch)
    found = await records.get("r1")
    assert found is not None
    assert (found.uploaded_by, found.status) == ("shop", "complete")


@pytest.mark.anyio
@pytest.mark.integration
async def test_an_object_that_was_read_before_its_next_attempt_is_read_again(
    a_batch: MakeBatch, records: Records
) -> None:
    batch = a_batch({"requestId": "r1"}, {"phase": "Complete", "message": "done"})
    await restore(records, batch)
    await records.reopen("r1", 2)
    with pytest.raises(RecordsError, match="read before"):
        await recorded(records, STORE, batch)
    again = await recorded(records, STORE, a_batch({"requestId": "r1", "attempt": 2}))
    assert (again.attempt, again.status) == (2, "pending")


@pytest.mark.anyio
@pytest.mark.integration
async def test_a_pending_batch_whose_files_are_on_another_store_waits(
    a_batch: MakeBatch, records: Records
) -> None:
    batch, theirs, ours = a_batch({"requestId": "r1"}), MemoryStore(), MemoryStore()
    made = await recorded(records, AsyncStore(theirs), batch)
    assert made.store == theirs.get(keys.STORE_ID).decode()
    with pytest.raises(OtherStoreError, match="on another S3 than this program's"):
        await recorded(records, AsyncStore(ours), batch)
    ours.put(keys.plan("r1"), b"{}", JSON)
    adopted = await recorded(records, AsyncStore(ours), batch)
    assert adopted.store == ours.get(keys.STORE_ID).decode(), "its plan is there: the store's id was lost"
