"""Downloading one image, with the retries that are worth it.

Used by `image`. One try is `download`'s; here it is decided whether another follows, and when.
"""

import asyncio
import random

import httpx

from imagebatch.guard import AddressPolicy
from imagebatch.transport import client
from imagebatch_jobrunner.download.budget import Lease
from imagebatch_jobrunner.download.deadline import Deadline
from imagebatch_jobrunner.download.hosts import Hosts
from imagebatch_jobrunner.download.one_try import Download, host_of
from imagebatch_jobrunner.errors import FetchError
from imagebatch_jobrunner.limits import FetchLimits

MAX_TRIES = 3
_BACKOFF_CAP_S = 8.0
_POOL_FACTOR = 4
"""Cancelled requests can leak a slot of httpcore's pool (httpcore#1093); `Hosts` is what bounds us."""


def image_client(policy: AddressPolicy, limits: FetchLimits) -> httpx.AsyncClient:
    """The client to give to a Fetcher."""
    timeout = httpx.Timeout(limits.total_s, connect=limits.connect_s, pool=None)
    return client(policy, connections=limits.connections * _POOL_FACTOR, timeout=timeout)


class Fetcher:
    """The downloads of one shard."""

    def __init__(self, http: httpx.AsyncClient, limits: FetchLimits) -> None:
        self._http = http
        self._limits = limits
        self._hosts = Hosts(limits.connections, limits.per_host)

    async def fetch(self, link: str, lease: Lease) -> bytes:
        """The bytes behind a link that `links.check` let pass. Raises FetchError.

        Waiting for a turn at a busy host, or for room in memory, does not count as download time.
        """
        deadline = Deadline(self._limits.total_s)
        for tried in range(1, MAX_TRIES + 1):
            try:
                return await self._try(link, lease, deadline)
            except FetchError as error:
                pause_s = self._pause(error, tried)
                if not error.retryable or tried == MAX_TRIES or pause_s >= deadline.left_s:
                    raise
            await asyncio.sleep(pause_s)
            deadline.spend(pause_s)
        raise AssertionError("the last try returns or raises")

    async def _try(self, link: str, lease: Lease, deadline: Deadline) -> bytes:
        async with self._hosts.slot(host_of(link)) as health:
            return await Download(self._http, self._limits, health, lease, deadline).run(link)

    def _pause(self, error: FetchError, tried: int) -> float:
        """Seconds until the next try: what the host asked for, or full jitter, so that tries spread out.

        Full jitter: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
        """
        if error.retry_after_s is not None:
            return error.retry_after_s
        ceiling = min(_BACKOFF_CAP_S, self._limits.backoff_s * 2.0**tried)
        return random.uniform(0, ceiling)  # noqa: S311 - spreads load, guards nothing
