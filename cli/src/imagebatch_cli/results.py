"""What a finished batch leaves on the user's disk, and what is said of it."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from imagebatch.csv import rows
from imagebatch.csv.rows import OUTPUT_COLUMN
from imagebatch.errors import ImageBatchError
from imagebatch.outcome import EXPLANATIONS, ErrorCode
from imagebatch_cli.client import ApiClient

MAX_SHOWN = 12


class UnwritableError(ImageBatchError):
    """A result could not be written where the user wants it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where the results are to go; no `images` folder, no copies."""

    output: Path
    errors: Path
    images: Path | None = None


def check(wanted: Wanted) -> None:
    """Raise UnwritableError now for what could not be written at the end."""
    if wanted.output.resolve() == wanted.errors.resolve() and not _is_special(wanted.output):
        raise UnwritableError(f"--output and --errors are the same file: {wanted.output}")
    folders = [wanted.output.parent, wanted.errors.parent, *([wanted.images] if wanted.images else [])]
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UnwritableError(f"{folder} can't be made: {error.strerror}") from error
        if not os.access(folder, os.W_OK | os.X_OK) and not _is_special(wanted.output):
            raise UnwritableError(f"{folder} can't be written to")
    for path in (wanted.output, wanted.errors):
        if path.is_dir():
            raise UnwritableError(f"{path} is a folder")


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file()


@dataclass(frozen=True, slots=True)
class Saved:
    """Where the results went; None for what there was not."""

    output: Path | None = None
    errors: Path | None = None
    images: Path | None = None


async def save(client: ApiClient, status: dict[str, Any], wanted: Wanted) -> Saved:
    """Fetch the CSVs, and the images if they are wanted."""
    output = await _fetch(client, status["output_csv"], wanted.output)
    errors = await _fetch(client, status["errors_csv"], wanted.errors)
    if output is None or wanted.images is None:
        return Saved(output, errors)
    folder = wanted.images
    await client.download_all({link: folder / _name(link) for link in output_links(output)})
    return Saved(output, errors, folder)


async def _fetch(client: ApiClient, url: str | None, path: Path) -> Path | None:
    if url is None:
        return None
    await client.download(url, path)
    return path


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


def summary(status: dict[str, Any], saved: Saved, seconds: float) -> str:
    """A finished batch in words."""
    return "\n".join([*_counts(status, seconds), *_failures(saved.errors), *_places(saved)])


def _counts(status: dict[str, Any], seconds: float) -> Iterator[str]:
    images, size = status["images"], status["bytes"]
    done = f"{images['succeeded']} of {images['total']} images done, {images['failed']} failed"
    skipped = f", {images['skipped']} not tried" if images["skipped"] else ""
    yield f"{status['phase']}: {done}{skipped}"
    if status["error"]:
        yield f"  Error    {status['error']}"
    if size["in"]:
        percent = 100 * (1 - size["out"] / size["in"])
        before, after = _megabytes(size["in"]), _megabytes(size["out"])
        yield f"  Size     {before} before, {after} after: {percent:.0f}% smaller"
    if seconds > 0:
        yield f"  Time     {seconds:.1f} s, {images['total'] / seconds:.1f} images/s"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB"


def _failures(errors: Path | None) -> Iterator[str]:
    if errors is None:
        return
    failed = list(_records(errors))
    yield "Failed:"
    for row in failed[:MAX_SHOWN]:
        yield f"  {row['error_code']:<18} {row['Input Image Urls']}"
        yield f"  {'':<18} {row['error']}. {_advice(row['error_code'])}"
    if len(failed) > MAX_SHOWN:
        yield f"  … and {len(failed) - MAX_SHOWN} more, all in {errors}"


def _advice(code: str) -> str:
    return EXPLANATIONS[ErrorCode(code)].advice


def _places(saved: Saved) -> Iterator[str]:
    if saved.output:
        yield f"Output CSV  {saved.output}"
    if saved.errors:
        yield f"Errors CSV  {saved.errors} (upload it again to retry what failed)"
    if saved.images:
        yield f"Images      {saved.images}"
