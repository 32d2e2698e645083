"""What the drivers of all batches share: built once by the program that runs them."""

from collections.abc import Callable
from dataclasses import dataclass

from imagebatch.batch.background import BackgroundTasks
from imagebatch.metrics import BatchMetrics
from imagebatch.records import Records
from imagebatch.storage.async_store import AsyncStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What drivers work with. `webhook_owed` is called after a terminal commit that owes a webhook."""

    records: Records
    store: AsyncStore
    background: BackgroundTasks
    webhook_owed: Callable[[], None]
    metrics: BatchMetrics
