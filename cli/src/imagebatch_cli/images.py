"""Pages of the report, by both doors: what is asked for, and how it is shown."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import click

from imagebatch.csv import report_page
from imagebatch.outcome import ErrorCode
from imagebatch_cli.screen import aligned, say, show_json
from imagebatch_client import Image, Page

F = TypeVar("F", bound=Callable[..., object])

HEAD = ("ROW", "SLOT", "OUTCOME", "BEFORE", "AFTER", "LINK", "NOTE")


@dataclass(frozen=True, slots=True)
class PageQuery:
    """A page: how many images at most, behind which cursor, with which outcome."""

    limit: int
    after: str | None
    outcome: str | None


def page_options(command: F) -> F:
    """Which page."""
    outcome = click.option(
        "--outcome", type=click.Choice(report_page.OUTCOMES), help="Only images with this outcome."
    )
    limit = click.option(
        "--limit",
        type=click.IntRange(1, report_page.MAX_LIMIT),
        default=report_page.DEFAULT_LIMIT,
        help=f"How many at most (default {report_page.DEFAULT_LIMIT}).",
    )
    after = click.option("--after", metavar="CURSOR", help="The next_after of the page before.")
    return outcome(limit(after(command)))


def show_page(page: Page[Image], asked: PageQuery, command: str, *, as_json: bool) -> None:
    """A line an image, or the document; and by which `command` the next page is had."""
    if as_json:
        show_json(page.document)
        return
    for line in aligned([HEAD, *map(_cells, page.items)]):
        click.echo(line)
    if page.next_after is not None:
        outcome = f" --outcome {asked.outcome}" if asked.outcome else ""
        say(f"There may be more: {command}{outcome} --limit {asked.limit} --after {page.next_after}")


def _cells(image: Image) -> tuple[str, ...]:
    outcome, note = _outcome(image)
    return (
        str(image.row),
        str(image.slot),
        outcome,
        _bytes(image.bytes_in),
        _bytes(image.bytes_out),
        image.output_url or image.input_url,
        note,
    )


def _outcome(image: Image) -> tuple[str, str]:
    if image.error_code is None:
        return "succeeded", " ".join(image.notes)
    outcome = "skipped" if image.error_code == ErrorCode.NOT_TRIED else "failed"
    return outcome, f"{image.error_code}: {image.error}"


def _bytes(count: int | None) -> str:
    return "" if count is None else str(count)
