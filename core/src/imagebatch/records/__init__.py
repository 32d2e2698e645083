"""The records in Postgres: one row a request, and the webhook outbox. Direct SQL, all of it here.

The row outlives the ImageBatch object and answers GET /status. Its terminal commit and the webhook's
outbox entry are one transaction, so that exactly one delivery exists however many programs finish a batch.
"""

from imagebatch.records.models import (
    Claim,
    Delivery,
    DeliveryState,
    Gain,
    NewRequest,
    RecordedDelivery,
    Removed,
    Request,
    Result,
    Suspension,
)
from imagebatch.records.records import Records, connect

__all__ = [
    "Claim",
    "Delivery",
    "DeliveryState",
    "Gain",
    "NewRequest",
    "RecordedDelivery",
    "Records",
    "Removed",
    "Request",
    "Result",
    "Suspension",
    "connect",
]
