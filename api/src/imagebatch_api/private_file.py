"""The private files of a batch (errors.csv, report.csv), streamed from S3 through the API."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import anyio
from anyio import to_thread
from starlette.concurrency import iterate_in_threadpool
from starlette.responses import StreamingResponse

from imagebatch.storage.store import ObjectStore

MEDIA_TYPE = "text/csv; charset=utf-8"


async def response(store: ObjectStore, key: str, name: str) -> StreamingResponse:
    """The object as a download called `name`. Raises NotFoundError before anything is sent."""
    stack = ExitStack()
    chunks = await to_thread.run_sync(stack.enter_context, store.open(key))
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(_closing(stack, chunks), headers=headers, media_type=MEDIA_TYPE)


async def _closing(stack: ExitStack, chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for chunk in iterate_in_threadpool(chunks):
            yield chunk
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(stack.close)
