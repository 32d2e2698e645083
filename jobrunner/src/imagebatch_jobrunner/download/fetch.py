"""Downloading one image, with the redirects and retries that are worth it.

Used by `image`. One request is `one_request`'s; here it is decided whether another follows, and when.
"""

import asyncio
import random
import ssl

import httpx

from imagebatch import links
from imagebatch.net.guard import AddressPolicy
from imagebatch.net.http.cookies import ChainCookies
from imagebatch.net.http.dial import Resolve
from imagebatch.net.transport import MAX_REDIRECTS, GuardedClient, client
from imagebatch.outcome import ErrorCode
from imagebatch_jobrunner.download import pages
from imagebatch_jobrunner.download.budget import Lease
from imagebatch_jobrunner.download.deadline import Deadline
from imagebatch_jobrunner.download.hosts import Hosts, host_of
from imagebatch_jobrunner.download.one_request import ImageRequests, OneRequest
from imagebatch_jobrunner.errors import FetchError
from imagebatch_jobrunner.limits import FetchLimits

MAX_TRIES = 3
_BACKOFF_CAP_S = 8.0


def image_client(
    policy: AddressPolicy,
    limits: FetchLimits,
    *,
    resolve: Resolve | None = None,
    tls: ssl.SSLContext | None = None,
    named: str | None = None,
) -> GuardedClient:
    """The client to give to a Fetcher. `named` is the User-Agent. `resolve` and `tls` are for tests."""
    timeout = httpx.Timeout(limits.total_s, connect=limits.connect_s, pool=None)
    return client(
        policy, connections=limits.connections, timeout=timeout, resolve=resolve, tls=tls, named=named
    )


class Fetcher:
    """The downloads of one shard."""

    def __init__(self, http: GuardedClient, limits: FetchLimits) -> None:
        self._http = http
        self._requests = ImageRequests(http)
        self._limits = limits
        self._hosts = Hosts(limits.connections, limits.per_host)

    def per_host(self, name: str) -> int:
        """How many links of a host are downloaded at once; it may grow when one is downloaded."""
        return self._hosts.at_once(name)

    async def fetch(self, link: str, lease: Lease) -> bytes:
        """The bytes behind a URL that `links.read` gave. Raises FetchError.

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
        """Follow the link. Each host on the way is asked in a slot of its own, one after the other."""
        request, cookies = self._requests.of(link), ChainCookies()
        for _ in range(MAX_REDIRECTS + 1):
            # Whoever waits for a slot must hold no memory that those with a slot may be waiting for.
            lease.step_aside()
            async with self._hosts.slot(host_of(str(request.url))) as host:
                got = await OneRequest(self._http, self._limits, host, lease, deadline, cookies).run(request)
            if isinstance(got, bytes):
                pages.refuse_shared(got, str(request.url))
                return got
            request = got
            _check_redirect(str(request.url))
        raise FetchError(ErrorCode.TOO_MANY_REDIRECTS, f"more than {MAX_REDIRECTS} redirects")

    def _pause(self, error: FetchError, tried: int) -> float:
        """Seconds until the next try: full jitter, so that tries spread out, or more if the host asked so.

        Full jitter: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
        """
        ceiling = min(_BACKOFF_CAP_S, self._limits.backoff_s * 2.0**tried)
        jitter = random.uniform(0, ceiling)  # noqa: S311 - spreads load, guards nothing
        return max(jitter, error.retry_after_s or 0.0)


def _check_redirect(link: str) -> None:
    bad = links.check(link)
    if bad is not None:
        raise FetchError(bad.code, f"it redirects to a link that is refused: {bad.message}")
