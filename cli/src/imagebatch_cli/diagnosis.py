"""What `imagebatch doctor` finds: one finding a thing that must work, and what to do where it does not."""

import asyncio
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import asyncpg
import httpx

from imagebatch import webhook_address
from imagebatch.errors import ImageBatchError, InputRefusedError
from imagebatch.net import transport
from imagebatch.records.failures import FAILURES
from imagebatch.settings import S3Settings
from imagebatch.storage.s3 import S3Store
from imagebatch_cli.data_folder import DataFolder
from imagebatch_cli.postgres import EmbeddedPostgres
from imagebatch_cli.seaweed import EmbeddedS3
from imagebatch_cli.settings import LocalSettings, own_database, own_s3
from imagebatch_jobrunner.codec.command import codec_version

OLDEST_PYTHON = (3, 11)
LEAST_FREE_BYTES = 1 << 30
MOST_SKEW_S = 300.0
"""Receivers of webhooks refuse what was signed so long ago; S3 refuses after a quarter of an hour."""

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing. `advice` is what to do, or what would be better."""

    name: str
    ok: bool
    message: str
    advice: str = ""


async def diagnose(
    folder: DataFolder, local: LocalSettings, webhook_url: str | None
) -> AsyncIterator[Finding]:
    """The findings, as they are made."""
    yield _python(sys.version_info[:2])
    yield await asyncio.to_thread(_codec)
    yield _disk(folder.path)
    yield await _postgres(folder)
    async for finding in _s3(folder):
        yield finding
    if webhook_url is not None:
        yield await _webhook(local, webhook_url)


def _python(found: tuple[int, ...]) -> Finding:
    words = f"{platform.python_implementation()} {platform.python_version()}"
    advice = "" if found >= OLDEST_PYTHON else "Install Python 3.11 or newer: make PYTHON=python3.12 install"
    return Finding("python", not advice, words, advice)


def _codec() -> Finding:
    """Whether a codec process starts, and what it compresses JPEGs with."""
    try:
        found = codec_version()
    except (OSError, subprocess.CalledProcessError) as error:
        return Finding(
            "codec", ok=False, message=f"does not start: {error}", advice="Install again: make install"
        )
    is_native = found.startswith("requantiser ")
    advice = "" if is_native else "With rustc 1.85 or newer `make install` builds one three times as fast."
    return Finding("codec", True, f"JPEG by {found}", advice)


def _disk(path: Path) -> Finding:
    """How much is free where the data folder is, or will be."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    words = f"{free / 1e9:.1f} GB are free at {there}"
    if free >= LEAST_FREE_BYTES:
        return Finding("disk", True, words)
    return Finding("disk", False, words, "Free some, or put the data folder elsewhere: IMAGEBATCH_DATA")


# -- Postgres --------------------------------------------------------------------------------------------


async def _postgres(folder: DataFolder) -> Finding:
    try:
        own = own_database()
        if own is not None:
            return await _asked(own.database_url.get_secret_value(), "")
        if folder.is_locked():
            return await _asked(EmbeddedPostgres(folder).url, "embedded, running: ")
        async with _trial_folder() as trial:
            return await _started_postgres(trial)
    except (ImageBatchError, OSError) as error:
        return Finding("postgres", False, str(error), _SEE_LOG)


_SEE_LOG = "Set DATABASE_URL to a Postgres of yours, or see why the embedded one does not start"


async def _started_postgres(trial: DataFolder) -> Finding:
    postgres = EmbeddedPostgres(trial)
    try:
        await postgres.start()
        return await _asked(postgres.url, "embedded, started for this: ")
    finally:
        await postgres.service.stop()


async def _asked(url: str, which: str) -> Finding:
    try:
        connection = await asyncpg.connect(url, timeout=TIMEOUT_S)
        try:
            version = await connection.fetchval("SHOW server_version")
        finally:
            await connection.close()
    except (*FAILURES, ValueError) as error:
        words = f"{which}{type(error).__name__}: {error}"
        return Finding("postgres", False, words, "Correct DATABASE_URL, or let Postgres answer from here")
    return Finding("postgres", True, f"{which}PostgreSQL {version}")


# -- S3 --------------------------------------------------------------------------------------------------


async def _s3(folder: DataFolder) -> AsyncIterator[Finding]:
    """S3, then the clock, which is compared with S3's."""
    try:
        own = own_s3()
        async with AsyncExitStack() as stack:
            if own is not None:
                found, which = own, f"{own.s3_endpoint}, bucket {own.s3_bucket}: "
            elif folder.is_locked():
                found, which = EmbeddedS3(folder, folder.read()).settings, "embedded, running: "
            else:
                found, which = await stack.enter_async_context(_started_s3()), "embedded, started for this: "
            yield await asyncio.to_thread(_probed, found, which)
            yield await _clock(found.s3_endpoint)
    except (ImageBatchError, OSError) as error:
        yield Finding("s3", False, str(error), "Correct the settings IMAGEBATCH_S3_…: docs/settings.md")


@asynccontextmanager
async def _started_s3() -> AsyncIterator[S3Settings]:
    async with _trial_folder() as trial:
        s3 = EmbeddedS3(trial, trial.prepare())
        try:
            await s3.start()
            await asyncio.to_thread(_create_bucket, s3.settings)
            yield s3.settings
        finally:
            await s3.stop()


def _create_bucket(settings: S3Settings) -> None:
    store = S3Store(settings)
    try:
        store.create_bucket()
    finally:
        store.close()


def _probed(settings: S3Settings, which: str) -> Finding:
    """Whether we may write, and everybody may read an image."""
    store = S3Store(settings, retries=1)
    try:
        store.probe()
    except ImageBatchError as error:
        first, _, cure = f"{which}{error}".partition("\n")
        return Finding("s3", False, first, cure or "Correct the settings IMAGEBATCH_S3_…: docs/settings.md")
    finally:
        store.close()
    reader = "by presigned links" if settings.s3_links == "presigned" else "without keys"
    return Finding("s3", True, f"{which}written, and read {reader}")


async def _clock(endpoint: str) -> Finding:
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
            asked = datetime.now(UTC)
            date = (await client.head(endpoint)).headers["date"]
        skew_s = (asked - parsedate_to_datetime(date)).total_seconds()
    except (httpx.HTTPError, httpx.InvalidURL, KeyError, ValueError, TypeError) as error:
        advice = "Once S3 answers, the clocks can be compared"
        return Finding("clock", False, f"S3 gives no date: {type(error).__name__} {error}", advice)
    return _judged(skew_s)


def _judged(skew_s: float) -> Finding:
    """S3 gives whole seconds, and its answer takes a moment."""
    if abs(skew_s) <= MOST_SKEW_S:
        return Finding("clock", True, f"within {max(1, round(abs(skew_s)))} s of S3's")
    side = "ahead of" if skew_s > 0 else "behind"
    return Finding(
        "clock",
        False,
        f"{abs(skew_s):.0f} s {side} S3's",
        "Set this machine's clock, such as by chrony (NTP)",
    )


# -- a webhook -------------------------------------------------------------------------------------------


async def _webhook(local: LocalSettings, url: str) -> Finding:
    """Whether its receiver answers from here, by the rules by which webhooks are sent. Nothing is posted."""
    try:
        policy = local.address_policy
        webhook_address.check_url(url, policy)
        async with transport.client(policy, connections=1, timeout=httpx.Timeout(TIMEOUT_S)) as client:
            answer = await client.head(url, follow_redirects=False)
    except InputRefusedError as error:
        return Finding("webhook", False, str(error), "Give the URL under which the receiver is reached")
    except (ImageBatchError, httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
        words = f"{type(error).__name__}: {error}"
        return Finding("webhook", False, words, "See that the receiver runs, and is reached from here")
    words = f"{url} answers with HTTP {answer.status_code}"
    return Finding("webhook", True, words, "To send it a signed event: imagebatch webhooks test URL")


# -- a folder for a moment -------------------------------------------------------------------------------


@asynccontextmanager
async def _trial_folder() -> AsyncIterator[DataFolder]:
    with tempfile.TemporaryDirectory(prefix="imagebatch-doctor-") as name:
        folder = DataFolder(await asyncio.to_thread(Path(name).resolve))
        folder.path.chmod(0o711)  # Postgres may run as another user, as on the data folder
        with folder.locked():
            yield folder
