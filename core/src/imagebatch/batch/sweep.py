"""Finds and removes what is on S3 and belongs to no batch: files of uploads that were never recorded, and
uploads in parts that were never finished.

An orphan is old, by S3's own clock, and its request has no row and no object. A row that is missing proves
nothing where rows were lost. So nothing is an orphan that is older than what the database remembers, and
nothing at all while the bucket has the mark of another database, or the database stands before the sweep that
its own mark tells of (docs/decisions/0020). By itself a program only removes inputs that never ran: results
without a row go when an administrator has it so.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import TypeAlias

import structlog

from imagebatch.batch.removal import Count, amount_of, pages_of, uncounted
from imagebatch.batch.retention import Amount, Policy
from imagebatch.errors import AlreadyExistsError
from imagebatch.records import Records
from imagebatch.records.retentions import Sweep
from imagebatch.storage import keys
from imagebatch.storage.async_store import AsyncStore
from imagebatch.storage.store import JSON, ObjectStore, Stored, Unfinished

PAUSE_S = 86_400.0
LEASE_S = 300.0
PAGE = 1000
PREFIXES = (keys.BATCHES, keys.CSV_FILES, keys.IMAGES)

Places: TypeAlias = AsyncIterator[tuple[str, list[Stored]]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Mark:
    """That a database's batches are in the bucket: the number of its last sweep, and where it was then."""

    database: str
    number: int
    server: str


@dataclass(frozen=True, slots=True)
class Swept:
    """Objects under `place` that belong to no batch; or an upload of `place` that was never finished."""

    place: str
    amount: Amount
    is_unfinished: bool = False


def distrust(marks: Sequence[Mark], sweep: Sweep) -> str:
    """Why a missing row proves nothing; empty when it does prove that there is no such batch."""
    if not sweep.has_rows:
        return "the database has no batch at all"
    for mark in marks:
        if mark.database != sweep.database:
            return "the bucket holds batches of another database"
        if mark.number > sweep.number:
            return "the database is older than its last sweep: it was restored from a backup"
        if mark.server and sweep.server and mark.server != sweep.server:
            return "the database is on another server than at its last sweep: it was restored, or failed over"
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

    async def register(self) -> None:
        """Leave the database's mark in the bucket, so that no other takes its objects for orphans."""
        if self._age:
            sweep = await self._retentions.sweep()
            await self._store.run(partial(_register, mark=Mark(sweep.database, sweep.number, sweep.server)))

    async def sweep_if_due(self) -> None:
        """Remove inputs that never ran and unfinished uploads, once a day. Raises UnavailableError."""
        async for _ in self.sweep(PAUSE_S, is_thorough=False):
            pass

    async def sweep(self, pause_s: float = 0.0, *, is_thorough: bool = True) -> AsyncIterator[Swept]:
        """Remove what belongs to no batch, and say what went, unless another program did so within the pause.

        Results and what has run only go by a thorough one. `distrusted` then says why no orphans were looked
        for. Raises UnavailableError.
        """
        sweep = await self._retentions.claim_sweep(LEASE_S, pause_s) if self._age else None
        if sweep is None:
            return
        try:
            async for found, remove in self._found(sweep, is_thorough=is_thorough):
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
        """What a thorough `sweep` would remove. Raises UnavailableError."""
        if self._age:
            async for found, _ in self._found(await self._retentions.sweep(), is_thorough=True):
                yield found

    async def trust(self) -> None:
        """Take the database for the one that knows every batch of this bucket, whatever the marks say."""
        await self._store.run(_remove_marks)

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

    async def _found(
        self, sweep: Sweep, *, is_thorough: bool
    ) -> AsyncIterator[tuple[Swept, Callable[[ObjectStore], None]]]:
        """What goes, a page at a time, and the call that removes it."""
        before = await self._store.run(lambda store: store.now()) - self._age
        for prefix in PREFIXES:
            for upload in await self._store.run(partial(_unfinished, prefix=prefix, before=before)):
                yield Swept(upload.key, Amount(1), is_unfinished=True), partial(_end, upload=upload)
        self.distrusted = distrust(await self._store.run(_read_marks), sweep)
        if self.distrusted:
            return
        age, promised = _Age(sweep.knows_since, before), await self._promised()
        finders = [self._inputs(age, promised)]
        if is_thorough:
            finders = [
                self._working_files(age, promised),
                self._images(age, promised),
                self._csvs(age, promised),
            ]
        for finder in finders:
            async for place, page in finder:
                yield Swept(place, amount_of(page)), partial(_delete, page=page)

    async def _inputs(self, age: "_Age", promised: set[str]) -> Places:
        """The inputs of uploads that were never recorded: nothing ran."""
        async for request_id in self._unknown(keys.BATCHES, self._retentions.known_ids, promised):
            folder = keys.batch_prefix(request_id)
            is_orphan = partial(_is_old_input, age=age, request_id=request_id)
            async for page in self._whole(folder, is_orphan):
                yield folder, page

    async def _working_files(self, age: "_Age", promised: set[str]) -> Places:
        async for request_id in self._unknown(keys.BATCHES, self._retentions.known_ids, promised):
            folder = keys.batch_prefix(request_id)
            async for page in self._whole(folder, age.fits):
                yield folder, page

    async def _images(self, age: "_Age", promised: set[str]) -> Places:
        theirs = {keys.image_folder(request_id) for request_id in promised}
        async for name in self._unknown(keys.IMAGES, self._retentions.known_folders, theirs):
            folder = f"{keys.IMAGES}{name}/"
            async for page in self._whole(folder, age.fits):
                yield folder, page

    async def _csvs(self, age: "_Age", promised: set[str]) -> Places:
        async for page in pages_of(self._store, keys.CSV_FILES):
            owners = [(each, keys.request_of_csv(each.key)) for each in page if age.fits(each)]
            named = {owner for _, owner in owners if owner}
            unknown = named - await self._retentions.known_ids(sorted(named)) - promised
            if gone := [each for each, owner in owners if owner in unknown]:
                yield keys.CSV_FILES, gone

    async def _unknown(
        self, prefix: str, known: Callable[[list[str]], Awaitable[set[str]]], others: set[str]
    ) -> AsyncIterator[str]:
        """The names of the folders under a prefix that are nobody's."""
        folders = self._store.blocking.folders(prefix)
        while page := await self._store.run(lambda _: list(islice(folders, PAGE))):
            names = {folder.removeprefix(prefix).rstrip("/") for folder in page}
            for name in sorted(names - await known(sorted(names)) - others):
                yield name

    async def _whole(self, folder: str, is_orphan: Callable[[Stored], bool]) -> AsyncIterator[list[Stored]]:
        """A folder's objects; none where one of them is no orphan: somebody may be at work there."""
        async for page in pages_of(self._store, folder):
            if not all(map(is_orphan, page)):
                return
        async for page in pages_of(self._store, folder):
            if gone := list(filter(is_orphan, page)):
                yield gone


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


def _is_old_input(stored: Stored, age: _Age, request_id: str) -> bool:
    return age.fits(stored) and keys.is_input(request_id, stored.key)


def _read_marks(store: ObjectStore) -> list[Mark]:
    return [_mark_of(store.get(stored.key)) for stored in store.list(keys.DATABASES)]


def _mark_of(data: bytes) -> Mark:
    try:
        return Mark(**json.loads(data))
    except (ValueError, TypeError):
        return Mark("damaged", 0, "")


def _register(store: ObjectStore, mark: Mark) -> None:
    with suppress(AlreadyExistsError):
        store.put(keys.database_mark(mark.database), _encoded(mark), JSON, only_if_absent=True)


def _write_mark(store: ObjectStore, mark: Mark) -> None:
    store.put(keys.database_mark(mark.database), _encoded(mark), JSON)


def _encoded(mark: Mark) -> bytes:
    return json.dumps(asdict(mark)).encode()


def _remove_marks(store: ObjectStore) -> None:
    store.delete([stored.key for stored in store.list(keys.DATABASES)])
