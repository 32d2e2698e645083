"""Whether a batch's files are on this program's store, where the ids of the two differ.

They differ when the store is another one, and also after somebody removed the object with the store's id:
then the batch's plan is there, and the batch is taken for one of this store's.
"""

from imagebatch.records import Records, Request
from imagebatch.storage import keys
from imagebatch.storage.async_store import AsyncStore


async def adopted(records: Records, store: AsyncStore, request: Request) -> Request | None:
    """The pending request, now of this store; None when it is another's. Raises StoreError, RecordsError."""
    plan = keys.plan(request.request_id, request.upload)
    if await store.run(lambda its: its.head(plan)) is None:
        return None
    return await records.leases.adopt(request, await store.store_id())
