"""What is said of a batch on its way."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from imagebatch_cli import progress
from imagebatch_cli.progress import Bar, JsonLines, LastFailures, Lines, Pace, Story, follow
from imagebatch_cli.screen import age, aligned, cells
from imagebatch_client import Batch


def batch(done: int = 0, failed: int = 0, **fields: Any) -> Batch:
    document = {
        "request_id": "r1",
        "status": "pending",
        "phase": "Running",
        "images": {"total": 100, "succeeded": done - failed, "failed": failed, "skipped": 0},
        "bytes": {"in": 3_000_000 * done, "out": 1_000_000 * done},
        **fields,
    }
    return Batch.read(document)


def test_the_pace_is_that_of_the_last_half_minute() -> None:
    pace = Pace()
    assert (pace.images_per_s, pace.seconds_left(10)) == (0.0, None)
    pace.add(0.0, 0)
    pace.add(10.0, 50)
    assert (pace.images_per_s, pace.seconds_left(50)) == (5.0, 10.0)
    pace.add(100.0, 50)
    pace.add(101.0, 51)
    assert pace.images_per_s < 0.1
    pace.add(102.0, 0)  # another attempt
    assert pace.images_per_s == 0.0


def test_the_failures_that_came_last_stand_first() -> None:
    failures = LastFailures()
    failures.add({"http_status": 2, "timeout": 1})
    failures.add({"http_status": 2, "timeout": 1, "corrupt": 1})
    failures.add({"http_status": 2, "timeout": 3, "corrupt": 1, "dns_failed": 1})
    assert str(failures) == "timeout 3, dns_failed 1, corrupt 1, …"


def test_a_story_has_speed_time_left_bytes_saved_and_failures() -> None:
    now = [0.0]
    story = Story(clock=lambda: now[0])
    assert story.line() == "Asking"
    story.add(batch())
    now[0] = 10.0
    story.add(batch(20, 3, failures={"http_status": 3}))
    assert (
        story.line() == "Running  20/100  2.0 images/s  0:40 left  40.00 MB saved  3 failed (http_status 3)"
    )
    story.add(batch(20, 3))
    assert story.line().endswith("saved  3 failed")
    story.add(batch(20, reason="StoreUnavailable"))
    assert story.line().startswith("Running, waits: StoreUnavailable  20/100")


def test_hours_are_shown_as_such() -> None:
    assert [progress._clock_time(seconds) for seconds in (5.2, 65, 3_725)] == ["0:05", "1:05", "1:02:05"]


async def news(*batches: Batch) -> AsyncIterator[Batch]:
    for each in batches:
        yield each


END: dict[str, Any] = {"status": "complete", "phase": "Complete"}


@pytest.mark.anyio
async def test_without_a_terminal_there_are_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    last = await follow(news(batch(), batch(10), batch(20), batch(100, **END)), Lines())
    assert last.is_complete
    assert [line.split()[:2] for line in capsys.readouterr().err.splitlines()] == [
        ["Running", "0/100"],
        ["Complete", "100/100"],
    ]


@pytest.mark.anyio
async def test_a_line_comes_in_time_though_nothing_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []

    async def held() -> AsyncIterator[Batch]:
        yield batch(1)
        while len(said) < 3:
            said.extend(capsys.readouterr().err.splitlines())
            await asyncio.sleep(0)
        yield batch(100, **END)

    await follow(held(), Lines(every_s=0.01))
    assert {line.split()[1] for line in said} == {"1/100"}


@pytest.mark.anyio
async def test_programs_get_a_document_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    await follow(news(batch(1), batch(100, **END)), JsonLines())
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [document["phase"] for document in documents] == ["Running", "Complete"]


@pytest.mark.anyio
async def test_a_bar_leaves_nothing_behind(capsys: pytest.CaptureFixture[str]) -> None:
    await follow(news(batch(), batch(50, 1, failures={"timeout": 1}), batch(100, **END)), Bar())
    assert capsys.readouterr().out == ""


def test_a_line_of_a_list_says_what_one_looks_for() -> None:
    made = batch(50, 2, created_at="2026-03-01T12:00:00Z", reason="Suspended")
    assert made.created_at is not None
    found = cells(made, made.created_at.replace(hour=14, minute=30))
    assert found == ("r1", "Running", "50/100", "2 failed", "67% smaller", "2h", "Suspended")


def test_ages_and_tables() -> None:
    made = batch(created_at="2026-03-01T12:00:00Z").created_at
    assert made is not None
    later = (timedelta(seconds=59), timedelta(minutes=3), timedelta(days=3))
    assert [age(made + time, made) for time in later] == ["59s", "3m", "3d"]
    assert age(made, None) == ""
    assert list(aligned([("a", "b"), ("longer", "")])) == ["a       b", "longer"]
