"""Finds pending rows whose objects nobody knows: one was not seen, or is gone.

An object that is there is marked. One that is gone, because its finalizer was removed by force or the cluster
was lost, leaves a batch that nobody runs: its row says so, and `imagebatch_operator.restore` makes it again.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import NoReturn

import structlog

from imagebatch.batch.lifecycle import Waiting
from imagebatch.batch.work_queue import Key
from imagebatch.errors import UnavailableError
from imagebatch.records import Records, Request
from imagebatch_operator.kube import Kube

LOOK_S = 300.0
GONE = Waiting(
    "ObjectMissing",
    "its ImageBatch is gone; an administrator can make it again (docs/reliability.md, restore)",
)

log = structlog.get_logger()


class Repair:
    """Looks at start and each five minutes, in these namespaces. `is_known` says of an object that it is
    being reconciled.
    """

    def __init__(
        self,
        records: Records,
        kube: Kube,
        namespaces: Collection[str],
        is_known: Callable[[Key], bool],
        mark: Callable[[Key], None],
    ) -> None:
        self._namespaces = namespaces
        self._records = records
        self._kube = kube
        self._is_known = is_known
        self._mark = mark

    async def run(self) -> NoReturn:
        while True:
            try:
                await self.look()
            except UnavailableError as error:
                log.warning("rows are not compared with their objects", error=str(error))
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Raises RecordsError and KubeError."""
        for request in await self._records.pending():
            namespace, _, name = request.object.partition("/")
            if namespace in self._namespaces and not self._is_known(Key(namespace, name)):
                await self._compare(request, Key(namespace, name))

    async def _compare(self, request: Request, key: Key) -> None:
        found = await self._kube.get_batch(*key)
        if found is not None and found["metadata"]["uid"] == request.owner:
            self._mark(key)
        elif request.waiting != GONE:
            log.warning("a pending batch has no object", request_id=request.request_id, object=request.object)
            await self._records.progress(replace(request, waiting=GONE))
