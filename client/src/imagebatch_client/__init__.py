"""The Python client of ImageBatch: `Client` and `AsyncClient` with the same methods.

What is asked and how answers are read is in `calls` and `documents`, how an upload is repeated in
`repeating`, how a batch is followed in `following` and `sse`. None of these does I/O; `sync` and `aio` do.
"""

from imagebatch_client.aio import AsyncClient
from imagebatch_client.documents import (
    Accepted,
    Batch,
    Checked,
    Counts,
    Delivery,
    Host,
    Image,
    Issue,
    Page,
    Problem,
    Sizes,
    WebhookTest,
)
from imagebatch_client.errors import (
    ApiError,
    ImageBatchError,
    NoAnswerError,
    NotFoundError,
    SignatureError,
    TokenError,
    UnauthorizedError,
    UnexpectedAnswerError,
    WaitTimeoutError,
)
from imagebatch_client.signature import verify
from imagebatch_client.sync import Client

__all__ = [
    "Accepted",
    "ApiError",
    "AsyncClient",
    "Batch",
    "Checked",
    "Client",
    "Counts",
    "Delivery",
    "Host",
    "Image",
    "ImageBatchError",
    "Issue",
    "NoAnswerError",
    "NotFoundError",
    "Page",
    "Problem",
    "SignatureError",
    "Sizes",
    "TokenError",
    "UnauthorizedError",
    "UnexpectedAnswerError",
    "WaitTimeoutError",
    "WebhookTest",
    "verify",
]
