"""`python -m imagebatch_operator restore`: print objects for pending rows that lost theirs.

    kubectl exec deploy/imagebatch-operator -- python -m imagebatch_operator restore | kubectl apply -f -

After the loss of a cluster Postgres and S3 have all that the unfinished batches need, but for sources that
were not read yet. Each row is given a word that its new object carries; an object with that word takes the
row over. Running it again prints the same. Nothing else is changed, with `--dry-run` nothing at all.
"""

import argparse
import json
import secrets
import sys
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any

from imagebatch.manifests import of_row
from imagebatch.records import Records, Request, connect
from imagebatch.storage import keys
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.s3 import S3Store
from imagebatch_operator import kube
from imagebatch_operator.kube import Kube
from imagebatch_operator.recorded import restorable
from imagebatch_operator.settings import OperatorSettings

COMMAND = "restore"
WORD_BYTES = 16


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """The command's options. Exits with 2 for unknown ones."""
    parser = argparse.ArgumentParser(prog=f"python -m imagebatch_operator {COMMAND}")
    parser.add_argument("--dry-run", action="store_true", help="say what would be made, and change nothing")
    return parser.parse_args(given)


async def run(settings: OperatorSettings, given: argparse.Namespace) -> int:
    """Print a List of the objects; 1 when a row can't have one. Raises ImageBatchError."""
    store = S3Store(settings)
    try:
        async with connect(settings) as records, kube.connect() as api:
            restoring = Restoring(records, AsyncStore(store), api, settings.watched, is_dry=given.dry_run)
            items = [made async for made in restoring.objects()]
    finally:
        store.close()
    for line in restoring.said:
        print(line, file=sys.stderr)  # noqa: T201 - for the administrator
    print(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2))  # noqa: T201
    return 1 if restoring.unrestorable else 0


class Restoring:
    """In these namespaces. `said` has a line for each row without an object; `unrestorable` counts those that
    can't have one.
    """

    def __init__(
        self, records: Records, store: AsyncStore, kube: Kube, namespaces: Collection[str], *, is_dry: bool
    ) -> None:
        self._namespaces = namespaces
        self._records = records
        self._store = store
        self._kube = kube
        self._is_dry = is_dry
        self.said: list[str] = []
        self.unrestorable = 0

    async def objects(self) -> AsyncIterator[dict[str, Any]]:
        """The objects to be made."""
        for request in await self._records.pending():
            namespace = request.object.partition("/")[0]
            if namespace in self._namespaces and not await self._has_object(request):
                made = await self._object(request)
                if made is not None:
                    yield made

    async def _has_object(self, request: Request) -> bool:
        namespace, _, name = request.object.partition("/")
        found = await self._kube.get_batch(namespace, name)
        return found is not None and found["metadata"]["uid"] == request.owner

    async def _object(self, request: Request) -> dict[str, Any] | None:
        plan = keys.plan(request.request_id, request.upload)
        about = f"{request.object} (request id {request.request_id})"
        if await self._store.run(lambda store: store.head(plan)) is None:
            self.unrestorable += 1
            self.said.append(f"{about}: its source was not read yet, apply it again")
            return None
        word = request.owner.removeprefix(restorable("")) if request.owner.startswith(restorable("")) else ""
        if not word and not self._is_dry:
            word = secrets.token_hex(WORD_BYTES)
            if await self._records.reown(request.request_id, request.owner, restorable(word)) is None:
                self.said.append(f"{about}: changed meanwhile, run this again")
                return None
        self.said.append(f"{about}: {'would be' if self._is_dry else 'is'} made again")
        return of_row(request, word)
