"""How things are shown: results on stdout, all else on stderr; in the same words by both commands."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console

from imagebatch_client import Accepted, Batch, Issue

say = Console(stderr=True, highlight=False, soft_wrap=True, markup=False).print
"""Says something beside the result."""

HEAD = ("ID", "PHASE", "DONE", "FAILED", "SAVED", "AGE", "NOTE")


def show_json(document: Mapping[str, Any] | None) -> None:
    """A document as the API gives it; nothing where it gives none."""
    if document is not None:
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def show_json_line(document: Mapping[str, Any]) -> None:
    click.echo(json.dumps(document, ensure_ascii=False))


def show_batches(batches: Sequence[Batch], now: datetime | None = None) -> None:
    """One line a batch, under a head."""
    for line in aligned([HEAD, *(cells(batch, now or datetime.now(UTC)) for batch in batches)]):
        click.echo(line)


def show_batch(batch: Batch) -> None:
    """The one line of a batch."""
    click.echo("  ".join(filter(None, cells(batch, datetime.now(UTC)))))


def cells(batch: Batch, now: datetime) -> tuple[str, ...]:
    """A batch as a line of a list."""
    images = batch.images
    return (
        batch.id,
        batch.phase,
        f"{images.done}/{images.total}" if images.total else "",
        f"{images.failed} failed" if images.failed else "",
        f"{percent_saved(batch)}% smaller" if batch.bytes.before else "",
        age(now, batch.created_at),
        batch.reason or "",
    )


def aligned(table: Iterable[Sequence[str]]) -> Iterator[str]:
    """Lines with their cells under each other."""
    rows = list(table)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def percent_saved(batch: Batch) -> int:
    return round(100 * batch.bytes.saved / batch.bytes.before)


def age(now: datetime, since: datetime | None) -> str:
    """How long ago that was, in the largest unit that fits."""
    if since is None:
        return ""
    seconds = max(0, int((now - since).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def seconds_of(batch: Batch) -> float:
    """How long it took; 0 where that is not known."""
    if batch.created_at is None or batch.finished_at is None:
        return 0.0
    return (batch.finished_at - batch.created_at).total_seconds()


def megabytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB"


def say_accepted(accepted: Accepted) -> None:
    """That an upload was taken in, and what is odd about it."""
    say(f"Request {accepted.id}: {accepted.rows} rows, {accepted.images} images")
    say_warnings(accepted.warnings)


def say_warnings(warnings: Iterable[Issue]) -> None:
    for warning in warnings:
        say(f"  warning: {warning}")
