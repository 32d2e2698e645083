"""What a finished batch leaves on the user's disk, and what is said of it."""

import asyncio
import csv
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from imagebatch.csv import rows
from imagebatch.csv.rows import OUTPUT_COLUMN
from imagebatch.errors import ImageBatchError
from imagebatch.outcome import EXPLANATIONS
from imagebatch_cli.screen import megabytes
from imagebatch_client import AsyncClient, Batch

MAX_SHOWN = 12
DOWNLOADS = 8


class UnwritableError(ImageBatchError):
    """A result could not be written where the user wants it."""


class NoResultError(ImageBatchError):
    """The batch has not what is wanted of it, or not yet."""


class Downloads(Protocol):
    """Saves what links lead to: the client of the API, or a bare one."""

    async def download(self, url: str, path: str | Path) -> None: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where the results are to go; what has no place is not fetched."""

    output: Path | None = None
    errors: Path | None = None
    images: Path | None = None
    report: Path | None = None

    @property
    def files(self) -> list[Path]:
        return [path for path in (self.output, self.errors, self.report) if path is not None]


def check(wanted: Wanted) -> None:
    """Raise UnwritableError now for what could not be written at the end."""
    _check_distinct(wanted)
    folders = {path.parent: path for path in wanted.files}
    for folder in [*folders, *([wanted.images] if wanted.images else [])]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnwritableError(f"{folder} can't be made: {error.strerror}") from error
        is_device = folder in folders and _is_special(folders[folder])
        if not os.access(folder, os.W_OK | os.X_OK) and not is_device:
            raise UnwritableError(f"{folder} can't be written to")
    for path in wanted.files:
        if path.is_dir():
            raise UnwritableError(f"{path} is a folder")


def _check_distinct(wanted: Wanted) -> None:
    seen: dict[Path, str] = {}
    for name in ("output", "errors", "report"):
        path: Path | None = getattr(wanted, name)
        if path is None or _is_special(path):
            continue
        other = seen.setdefault(path.resolve(), name)
        if other != name:
            raise UnwritableError(f"--{other} and --{name} are the same file: {path}")


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file()


@dataclass(frozen=True, slots=True)
class Saved:
    """Where the results went; None for what there was not."""

    output: Path | None = None
    errors: Path | None = None
    images: Path | None = None
    report: Path | None = None


async def save(client: Downloads, batch: Batch, wanted: Wanted) -> Saved:
    """Fetch the CSVs, and the images if they are wanted."""
    output = await _fetch(client, batch.output_csv, wanted.output)
    errors = await _fetch(client, batch.errors_csv, wanted.errors)
    report = await _fetch(client, batch.report_csv, wanted.report)
    if wanted.images is None or batch.output_csv is None:
        return Saved(output, errors, None, report)
    await _save_images(client, batch.output_csv, output, wanted.images)
    return Saved(output, errors, wanted.images, report)


async def _fetch(client: Downloads, url: str | None, path: Path | None) -> Path | None:
    if url is None or path is None:
        return None
    await download(client, url, path)
    return path


async def _save_images(client: Downloads, url: str, output: Path | None, folder: Path) -> None:
    """By the links of the output CSV, which is fetched for that where it is not wanted itself."""
    with tempfile.TemporaryDirectory() as own:
        table = Path(own) / "output.csv" if output is None or _is_special(output) else output
        if table != output:
            await download(client, url, table)
        await download_all(client, ((link, folder / _name(link)) for link in output_links(table)))


async def download(client: Downloads, url: str, path: Path) -> None:
    """Save one document. Raises UnwritableError too."""
    try:
        await client.download(url, path)
    except OSError as error:
        raise UnwritableError(f"{path} could not be written: {error.strerror}") from error


async def download_all(client: Downloads, links: Iterator[tuple[str, Path]]) -> None:
    """Save many documents, a few at a time. Raises an ExceptionGroup of the first that can't be saved."""

    async def work() -> None:
        for url, path in links:
            await download(client, url, path)

    async with asyncio.TaskGroup() as group:
        for _ in range(DOWNLOADS):
            group.create_task(work())


def _name(link: str) -> str:
    return urlsplit(link).path.rpartition("/")[2]


def output_links(output: Path) -> Iterator[str]:
    """Every link of an output CSV, in order; failed images have none."""
    for row in _records(output):
        yield from filter(None, row[OUTPUT_COLUMN].split(","))


def _records(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a CSV of ours, whose delimiter is that of the user's own."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        delimiter = rows.delimiter_of(file.readline())
        file.seek(0)
        yield from csv.DictReader(file, delimiter=delimiter)


# -- in words --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that failed."""

    code: str
    link: str
    message: str


async def first_failures(client: AsyncClient, batch: Batch) -> list[Failure]:
    """The first images that failed, as far as they are shown; none where there is no report."""
    found: list[Failure] = []
    if not batch.images.failed or batch.report_csv is None:
        return found
    async with aclosing(client.images(batch.id, outcome="failed", page_size=MAX_SHOWN)) as images:
        async for image in images:
            found.append(Failure(image.error_code or "", image.input_url, image.error or ""))
            if len(found) == MAX_SHOWN:
                break
    return found


def summary(
    batch: Batch, saved: Saved = Saved(), seconds: float = 0.0, failures: Sequence[Failure] = ()
) -> str:
    """A finished batch in words."""
    return "\n".join([*_counts(batch, seconds), *_failed(batch, failures, saved.errors), *_places(saved)])


def _counts(batch: Batch, seconds: float) -> Iterator[str]:
    images, size = batch.images, batch.bytes
    done = f"{images.succeeded} of {images.total} images done, {images.failed} failed"
    skipped = f", {images.skipped} not tried" if images.skipped else ""
    yield f"{batch.phase}: {done}{skipped}"
    if batch.error:
        yield f"  Error    {batch.error}"
    if size.before:
        percent = 100 * (1 - size.after / size.before)
        before, after = megabytes(size.before), megabytes(size.after)
        yield f"  Size     {before} before, {after} after: {percent:.0f}% smaller"
    if seconds > 0:
        yield f"  Time     {seconds:.1f} s, {images.total / seconds:.1f} images/s"


def _failed(batch: Batch, failures: Sequence[Failure], errors: Path | None) -> Iterator[str]:
    if not failures:
        yield from (f"  Failed   {count} {code}: {_advice(code)}" for code, count in batch.failures.items())
        return
    yield "Failed:"
    for failure in failures:
        yield f"  {failure.code:<18} {failure.link}"
        yield f"  {'':<18} {failure.message}. {_advice(failure.code)}"
    more = batch.images.failed - len(failures)
    if more > 0:
        yield f"  … and {more} more, all in {errors or 'errors.csv'}"


def _advice(code: str) -> str:
    """What to do about a code; nothing for one of a newer server."""
    return _ADVICE.get(code, "")


_ADVICE = {str(code): explained.advice for code, explained in EXPLANATIONS.items()}


def _places(saved: Saved) -> Iterator[str]:
    if saved.output:
        yield f"Output CSV  {saved.output}"
    if saved.errors:
        yield f"Errors CSV  {saved.errors} (upload it again to retry what failed)"
    if saved.report:
        yield f"Report CSV  {saved.report}"
    if saved.images:
        yield f"Images      {saved.images}"
