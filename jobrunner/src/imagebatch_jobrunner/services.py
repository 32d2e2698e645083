"""The services that every image of a shard needs, opened once: network, codec processes, byte budget."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from imagebatch.options import Compression
from imagebatch_jobrunner.codec.pool import CodecPool
from imagebatch_jobrunner.download.budget import ByteBudget
from imagebatch_jobrunner.download.fetch import Fetcher, image_client
from imagebatch_jobrunner.settings import JobrunnerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Handed to `shard_run` and `image`."""

    fetcher: Fetcher
    codecs: CodecPool
    budget: ByteBudget
    options: Compression


@asynccontextmanager
async def open_services(settings: JobrunnerSettings) -> AsyncIterator[Services]:
    """Raises CodecStartError when codec processes do not start."""
    limits = settings.fetch_limits
    async with (
        image_client(settings.address_policy, limits, named=settings.named) as http,
        CodecPool(settings.codec_limits, settings.picture_limits) as codecs,
    ):
        yield Services(
            fetcher=Fetcher(http, limits),
            codecs=codecs,
            budget=ByteBudget(settings.bytes_in_flight),
            options=settings.compression,
        )
