"""Shows a batch on its way to its end: a bar for people, a line each 10 s for logs, JSON for programs.

What is shown comes from status documents, whoever brings them: the REST API or the API server of a cluster.
"""

import asyncio
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from imagebatch_cli.screen import megabytes, say, show_json_line
from imagebatch_client import Batch

LINE_S = 10.0
WINDOW_S = 30.0
MAX_CODES = 3


class Pace:
    """How fast a batch goes, by what it said over the last half minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, now_s: float, done: int) -> None:
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()  # another attempt
        self._seen.append((now_s, done))
        while len(self._seen) > 2 and self._seen[1][0] < now_s - WINDOW_S:
            self._seen.popleft()

    @property
    def images_per_s(self) -> float:
        """0 while it is not known."""
        if len(self._seen) < 2:
            return 0.0
        (first_s, before), (last_s, after) = self._seen[0], self._seen[-1]
        return (after - before) / (last_s - first_s) if last_s > first_s else 0.0

    def seconds_left(self, todo: int) -> float | None:
        rate = self.images_per_s
        return todo / rate if rate > 0 else None


class LastFailures:
    """Which failures came last, by their codes."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, failures: dict[str, int]) -> None:
        """Note what there is by now; codes that grew go to the front."""
        grown = {code: count for code, count in failures.items() if count > self._counts.get(code, 0)}
        kept = {code: failures[code] for code in self._counts if code in failures and code not in grown}
        self._counts = {**grown, **kept}

    def __str__(self) -> str:
        shown = [f"{code} {count}" for code, count in self._counts.items()][:MAX_CODES]
        more = ", …" if len(self._counts) > MAX_CODES else ""
        return ", ".join(shown) + more


class Story:
    """What is shown of a batch under way."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pace = Pace()
        self._failures = LastFailures()
        self.batch: Batch | None = None

    def add(self, batch: Batch) -> None:
        self.batch = batch
        self._pace.add(self._clock(), batch.images.done)
        self._failures.add(dict(batch.failures))

    @property
    def label(self) -> str:
        """The phase, and why it waits."""
        batch = self.batch
        if batch is None:
            return "Asking"
        return f"{batch.phase}, waits: {batch.reason}" if batch.reason else batch.phase

    def facts(self) -> list[str]:
        """Speed, time left, bytes saved, last failures; what there is of them."""
        batch = self.batch
        if batch is None or batch.is_finished:
            return []
        left_s = self._pace.seconds_left(batch.images.total - batch.images.done)
        rate = self._pace.images_per_s
        found = [
            f"{rate:.1f} images/s" if rate else "",
            f"{_clock_time(left_s)} left" if left_s is not None else "",
            f"{megabytes(batch.bytes.saved)} saved" if batch.bytes.saved > 0 else "",
            self._failed(batch.images.failed),
        ]
        return [fact for fact in found if fact]

    def _failed(self, count: int) -> str:
        """How many failed, and how, as far as it is known yet."""
        if not count:
            return ""
        codes = str(self._failures)
        return f"{count} failed ({codes})" if codes else f"{count} failed"

    def line(self) -> str:
        """All of it in one line."""
        batch = self.batch
        done = f"{batch.images.done}/{batch.images.total}" if batch is not None else ""
        return "  ".join(filter(None, [self.label, done, *self.facts()]))


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class View(Protocol):
    """What shows a batch, as long as the block."""

    def news(self, batch: Batch) -> None: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Bar:
    """A bar that moves, on a terminal."""

    def __init__(self) -> None:
        self._story = Story()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}", markup=False),
            console=Console(file=sys.stderr),
            transient=True,
        )
        self._task = self._bar.add_task("Asking", total=None, facts="")

    def news(self, batch: Batch) -> None:
        self._story.add(batch)
        self._bar.update(
            self._task,
            description=self._story.label,
            completed=batch.images.done,
            total=batch.images.total or None,
            facts="  ".join(self._story.facts()),
        )

    async def __aenter__(self) -> Self:
        self._bar.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()


class Lines:
    """A line at the first news, then one each `every_s`, and one at the end."""

    def __init__(self, every_s: float = LINE_S) -> None:
        self._story = Story()
        self._every_s = every_s
        self._ticking: asyncio.Task[None] | None = None

    def news(self, batch: Batch) -> None:
        is_first = self._story.batch is None
        self._story.add(batch)
        if is_first or batch.is_finished:
            say(self._story.line())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            if self._story.batch is not None:
                say(self._story.line())

    async def __aenter__(self) -> Self:
        self._ticking = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._ticking is not None
        self._ticking.cancel()
        await asyncio.wait([self._ticking])


class JsonLines:
    """The document of each change, one a line, on stdout."""

    def news(self, batch: Batch) -> None:
        show_json_line(batch.document)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


def view(*, as_json: bool) -> View:
    """The view for who looks on: a program, a terminal or a log."""
    if as_json:
        return JsonLines()
    return Bar() if sys.stderr.isatty() else Lines()


async def follow(batches: AsyncIterator[Batch], shown: View) -> Batch:
    """Show a batch until `batches` ends; returns its last document."""
    last: Batch | None = None
    async with shown:
        async for last in batches:
            shown.news(last)
    assert last is not None, "whoever brings documents brings one or raises"
    return last
