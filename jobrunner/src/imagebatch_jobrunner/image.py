"""One link from start to end: fetched, compressed, stored, and its outcome.

Used by `shard_run`, for many links at once. A bad image is an outcome; only the store's errors pass on, for
they concern the whole shard.
"""

import asyncio
import hashlib
from dataclasses import replace
from itertools import pairwise
from time import perf_counter
from urllib.parse import urlsplit

import structlog

from imagebatch import links
from imagebatch.batch.shard import STAGES
from imagebatch.outcome import ErrorCode, ImageOutcome
from imagebatch.storage import keys
from imagebatch.storage.store import Media
from imagebatch_jobrunner import formats
from imagebatch_jobrunner.backlog import Backlog
from imagebatch_jobrunner.codec.compressed import Compressed
from imagebatch_jobrunner.download.budget import Lease
from imagebatch_jobrunner.errors import FetchError, ImageError
from imagebatch_jobrunner.fair_queue import Permit
from imagebatch_jobrunner.services import Services
from imagebatch_jobrunner.shard_input import Slot
from imagebatch_jobrunner.store_threads import StoreThreads

log = structlog.get_logger()


_PERHAPS_WRITTEN_WRONG = frozenset(
    {ErrorCode.HTTP_STATUS, ErrorCode.NOT_AN_IMAGE, ErrorCode.EMPTY_FILE, ErrorCode.SHARE_LINK}
)
"""After these a link is tried as it may have been meant; other failures are the host's or the image's."""


class ImageWorker:
    """Works on the links of one shard. The same link twice is fetched and compressed once.

    `seconds` are sums by stage over the images that were stored, as a shard's report has them.
    """

    def __init__(self, services: Services, store: StoreThreads, request_id: str, backlog: Backlog) -> None:
        self._services = services
        self._store = store
        self._backlog = backlog
        self._prefix = keys.image_prefix(request_id)
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self._first: dict[bytes, asyncio.Future[ImageOutcome]] = {}
        self._log = log.bind()  # once: unbound, it would be made anew for each line, shown or not

    async def work(self, permit: Permit) -> ImageOutcome:
        """Releases the permit when its link is downloaded. Raises StoreError when S3 fails."""
        slot = permit.slot
        digest = hashlib.sha256(slot.link.encode()).digest()
        first = self._first.get(digest)
        if first is not None:
            outcome = await first
            permit.release()
            return await self._copy(outcome, slot)
        promise = self._first[digest] = asyncio.get_running_loop().create_future()
        try:
            outcome = await self._image(permit)
        except BaseException:
            promise.cancel()
            raise
        promise.set_result(outcome)
        return outcome

    async def _image(self, permit: Permit) -> ImageOutcome:
        slot = permit.slot
        try:
            outcome = await self._stored(permit)
        except ImageError as error:
            self._log.info(
                "image failed", row=slot.row, slot=slot.slot, code=error.code, link=_loggable(slot.link)
            )
            return ImageOutcome(row=slot.row, slot=slot.slot, error=error.code, message=error.message)
        self._log.debug("image done", row=slot.row, slot=slot.slot, bytes_out=outcome.bytes_out)
        return outcome

    async def _stored(self, permit: Permit) -> ImageOutcome:
        meant = links.read(permit.slot.link)
        if isinstance(meant, links.BadLink):
            raise FetchError(meant.code, meant.message)
        first, *others = meant
        try:
            return await self._stored_from(permit, first)
        except ImageError as error:
            if not others or error.code not in _PERHAPS_WRITTEN_WRONG:
                raise ImageError(error.code, error.message + _how_read(first)) from error
            try:
                return await self._stored_from(permit, others[0])
            except ImageError:
                raise error from None

    async def _stored_from(self, permit: Permit, address: links.Address) -> ImageOutcome:
        async with self._services.budget.lease() as lease:
            times = [perf_counter()]
            data = await self._fetched(address.url, lease)
            times.append(perf_counter())
            with self._backlog.downloaded():
                permit.release()
                compressed = await self._services.codecs.compress(data, self._services.options)
                times.append(perf_counter())
                outcome = await self._put(permit.slot, compressed, len(data))
            times.append(perf_counter())
            for stage, (begun, over) in zip(STAGES, pairwise(times), strict=True):
                self.seconds[stage] += over - begun
            return replace(outcome, notes=(*outcome.notes, *address.notes))

    async def _fetched(self, link: str, lease: Lease) -> bytes:
        try:
            return await self._services.fetcher.fetch(link, lease)
        except ImageError:
            raise
        except Exception as error:
            # What strangers' servers make the HTTP stack raise is open-ended; it costs this image alone.
            log.exception("unexpected failure of a download", link=_loggable(link))
            message = f"the transfer failed ({type(error).__name__})"
            raise FetchError(ErrorCode.INTERNAL_ERROR, message) from error

    async def _put(self, slot: Slot, compressed: Compressed, bytes_in: int) -> ImageOutcome:
        stored_as = formats.BY_NAME[compressed.format]
        name = keys.image_name(slot.row, slot.slot, stored_as.extension)
        await self._store.put_patiently(
            self._prefix + name, compressed.data, Media.image(stored_as.content_type)
        )
        return ImageOutcome(
            row=slot.row,
            slot=slot.slot,
            name=name,
            bytes_in=bytes_in,
            bytes_out=len(compressed.data),
            format=compressed.format,
            width=compressed.width,
            height=compressed.height,
            source_format=compressed.source_format,
            source_quality=compressed.source_quality,
            quality=compressed.quality,
            quality_basis=compressed.quality_basis,
            notes=compressed.notes,
        )

    async def _copy(self, outcome: ImageOutcome, slot: Slot) -> ImageOutcome:
        """The outcome for another place of the same link; a stored image is stored under its name too."""
        if outcome.name is None:
            return replace(outcome, row=slot.row, slot=slot.slot)
        stored_as = formats.BY_NAME[outcome.format]
        name = keys.image_name(slot.row, slot.slot, stored_as.extension)
        async with self._services.budget.lease() as lease:
            await lease.reach(outcome.bytes_out)
            data = await self._store.get(self._prefix + outcome.name)
            await self._store.put_patiently(self._prefix + name, data, Media.image(stored_as.content_type))
        return replace(outcome, row=slot.row, slot=slot.slot, name=name)


_TRIED = {
    "https_assumed": "; the link has no scheme, so https:// was tried",
    "direct_link": "; tried as the share link's direct form",
}


def _how_read(address: links.Address) -> str:
    """How the failed link was read, where it was not read as it stands."""
    return "".join(_TRIED.get(note, "") for note in address.notes)


def _loggable(link: str) -> str:
    """A link without what may be secret in it."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:300]
