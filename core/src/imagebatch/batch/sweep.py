"""Finds and removes what is on S3 and belongs to no batch: files of uploads that were never recorded, and
uploads in parts that were never finished.

An orphan is old, by S3's own clock, and its request has no row and no object. A row that is missing proves
nothing where rows were lost. So nothing is an orphan that is older than what the database remembers, and
nothing at all while the database is not the one that swept here last, or stands before that sweep: the mark
in the bucket says which it was (docs/decisions/0020).
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

import structlog

from imagebatch.batch.removal import Count, amount_of, pages_of, uncounted
from imagebatch.batch.retention import Amount, Policy
from imagebatch.errors import NotFoundError
from imagebatch.records import Records
from imagebatch.records.retentions import Sweep
from imagebatch.storage import keys
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.store import JSON, ObjectStore, Stored, Unfinished

PAUSE_S = 86_400.0
LEASE_S = 300.0
PAGE = 1000
PREFIXES = (keys.BATCHES, keys.CSV_FILES, keys.IMAGES)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Mark:
    """Which database swept the bucket last, and its number of that sweep."""

    database: str
    number: int
    server: str


@dataclass(frozen=True, slots=True)
class Swept:
    """Objects under `place` that belong to no batch; or an upload of `place` that was never finished."""

    place: str
    amount: Amount
    is_unfinished: bool = False


def distrust(mark: Mark | None, sweep: Sweep) -> str:
    """Why a missing row proves nothing; empty when it does prove that there is no such batch."""
    if not sweep.has_rows:
        return "the database has no batch at all"
    if mark is None:
        return ""
    if mark.database != sweep.database:
        return "the bucket holds the batches of another database"
    if mark.number > sweep.number:
        return "the database is older than the last sweep: it was restored from a backup"
    if mark.server and sweep.server and mark.server != sweep.server:
        return "the database is on another server than at the last sweep: it was restored, or failed over"
    return ""


async def nobody() -> set[str]:
    """The ids of batches that have no row and still exist, where there can be none."""
    return set()


class LostSweepError(Exception):
    """Another program sweeps by now."""


class Sweeper:
    """Sweeps. `promised` names batches that may have no row yet, such as those of ImageBatch objects."""

    def __init__(
        self,
        records: Records,
        store: AsyncStore,
        policy: Policy,
        *,
        promised: Callable[[], Awaitable[set[str]]] = nobody,
        count: Count = uncounted,
    ) -> None:
        self._retentions = records.retentions
        self._store = store
        self._age = timedelta(days=policy.orphan_days)
        self._promised = promised
        self._count = count
        self.distrusted = ""

    async def sweep_if_due(self) -> None:
        """Sweep, once a day. Raises UnavailableError."""
        async for _ in self.sweep(PAUSE_S):
            pass

    async def sweep(self, pause_s: float = 0.0) -> AsyncIterator[Swept]:
        """Remove what belongs to no batch, and say what went, unless another program did so within the pause.

        `distrusted` then says why no orphans were looked for. Raises UnavailableError.
        """
        sweep = await self._retentions.claim_sweep(LEASE_S, pause_s) if self._age else None
        if sweep is None:
            return
        try:
            async for found, remove in self._found(sweep):
                sweep = await self._extended(sweep)
                await self._store.run(remove)
                self._count("unfinishedUploads" if found.is_unfinished else "orphans", found.amount)
                log.info("removed what belongs to no batch", place=found.place, objects=found.amount.objects)
                yield found
        except LostSweepError:
            log.info("another program sweeps")
            return
        await self._finish(sweep)

    async def survey(self) -> AsyncIterator[Swept]:
        """What `sweep` would remove. Raises UnavailableError."""
        if self._age:
            async for found, _ in self._found(await self._retentions.sweep()):
                yield found

    async def trust(self) -> None:
        """Take the database for the one that knows every batch of this bucket, whatever the mark says."""
        await self._store.run(lambda store: store.delete([keys.DATABASE_MARK]))

    async def _extended(self, sweep: Sweep) -> Sweep:
        extended = await self._retentions.extend_sweep(sweep, LEASE_S)
        if extended is None:
            raise LostSweepError
        return extended

    async def _finish(self, sweep: Sweep) -> None:
        """The number is the database's first, so that a crash between leaves a mark that is trusted."""
        number = await self._retentions.finish_sweep(sweep, counts=not self.distrusted)
        if self.distrusted:
            log.warning("no orphans are removed", reason=self.distrusted)
        elif number is not None:
            mark = Mark(sweep.database, number, sweep.server)
            await self._store.run(partial(_write_mark, mark=mark))

    # -- finding ---------------------------------------------------------------------------------------

    async def _found(self, sweep: Sweep) -> AsyncIterator[tuple[Swept, Callable[[ObjectStore], None]]]:
        """What goes, a page at a time, and the call that removes it."""
        before = await self._store.run(lambda store: store.now()) - self._age
        for prefix in PREFIXES:
            for upload in await self._store.run(partial(_unfinished, prefix=prefix, before=before)):
                yield Swept(upload.key, Amount(1), is_unfinished=True), partial(_end, upload=upload)
        self.distrusted = distrust(await self._store.run(_read_mark), sweep)
        if self.distrusted:
            return
        async for place, page in self._orphans(_Age(sweep.knows_since, before)):
            yield Swept(place, amount_of(page)), partial(_delete, page=page)

    async def _orphans(self, age: "_Age") -> AsyncIterator[tuple[str, list[Stored]]]:
        promised = await self._promised()
        folders = {keys.image_folder(request_id) for request_id in promised}
        for prefix, known, others in (
            (keys.BATCHES, self._retentions.known_ids, promised),
            (keys.IMAGES, self._retentions.known_folders, folders),
        ):
            found = self._store.blocking.folders(prefix)
            while page := await self._store.run(lambda _, found=found: list(islice(found, PAGE))):  # type: ignore[misc]
                names = [folder.removeprefix(prefix).rstrip("/") for folder in page]
                for name in sorted(set(names) - await known(names) - others):
                    async for old in self._old(f"{prefix}{name}/", age):
                        yield f"{prefix}{name}/", old
        async for page in pages_of(self._store, keys.CSV_FILES):
            ids = {stored.key: keys.request_of_csv(stored.key) for stored in page}
            known_ids = await self._retentions.known_ids([each for each in ids.values() if each]) | promised
            if old := [
                each for each in page if ids[each.key] and ids[each.key] not in known_ids and age.fits(each)
            ]:
                yield keys.CSV_FILES, old

    async def _old(self, folder: str, age: "_Age") -> AsyncIterator[list[Stored]]:
        """A folder's objects; none where one of them is so young that somebody may be at work there."""
        async for page in pages_of(self._store, folder):
            if not all(map(age.fits, page)):
                return
        async for page in pages_of(self._store, folder):
            yield [stored for stored in page if age.fits(stored)]


@dataclass(frozen=True, slots=True)
class _Age:
    """How old an orphan is: younger than what the database remembers, and older than who may be at work."""

    since: datetime
    before: datetime

    def fits(self, stored: Stored) -> bool:
        return stored.modified is not None and self.since <= stored.modified < self.before


def _unfinished(store: ObjectStore, prefix: str, before: datetime) -> list[Unfinished]:
    return [upload for upload in store.unfinished(prefix) if upload.begun_at < before]


def _end(store: ObjectStore, upload: Unfinished) -> None:
    store.end(upload)


def _delete(store: ObjectStore, page: list[Stored]) -> None:
    store.delete([stored.key for stored in page])


def _read_mark(store: ObjectStore) -> Mark | None:
    try:
        return Mark(**json.loads(store.get(keys.DATABASE_MARK)))
    except NotFoundError:
        return None
    except (ValueError, TypeError):
        return Mark("damaged", 0, "")


def _write_mark(store: ObjectStore, mark: Mark) -> None:
    store.put(keys.DATABASE_MARK, json.dumps(asdict(mark)).encode(), JSON)
