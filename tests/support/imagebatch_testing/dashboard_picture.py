"""The dashboard of the chart, drawn: its queries asked of a real Prometheus that read a local system at work.

python -m imagebatch_testing.dashboard_picture FILE.svg
"""

import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from imagebatch_testing.local import Up, csv_of, picture
from imagebatch_testing.prometheus import DASHBOARD, SCRAPE_S, Prometheus
from imagebatch_testing.receiver import Receiver
from imagebatch_testing.waiting import until
from imagebatch_testing.web import Page, serving

WIDTH, HEIGHT, GAP = 380, 190, 16
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 30, 56
"""Of a panel's plot, for what is written around it."""

COLOURS = ("#3b7dd8", "#d9822b", "#3a9e5c", "#b6479b", "#8a8d91", "#c23b3b", "#7a5cc4", "#4aa3a3")
A_ROW = 3


@dataclass(frozen=True)
class Line:
    """A line of a panel: its legend, and its points (seconds since the epoch, value)."""

    legend: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Drawing:
    """A panel with its lines, over what time they are (seconds since the epoch)."""

    title: str
    unit: str
    lines: list[Line]
    start_s: float
    end_s: float


async def over_a_run(folder: Path, seconds: float) -> list[Drawing]:
    """Have a system do two batches while Prometheus reads it, and ask for every panel of the dashboard.

    Of the second batch every fourth link leads nowhere. It lasts about `seconds`. Raises UnavailableError
    where there is no Prometheus.
    """
    pages = {f"/{number}.jpg": Page(picture(number, 600)) for number in range(20)}
    async with serving(pages) as shop, Receiver() as receiver:
        opened = f"127.0.0.1/32:{shop.port},127.0.0.1/32:{receiver.port}"
        async with (
            Up(folder / "data", IMAGEBATCH_ALLOWED_NETWORKS=opened) as up,
            Prometheus(folder, f"127.0.0.1:{up.port}") as prometheus,
        ):
            begun = time.time()
            links = [shop.url(f"/{number % 20}.jpg?{number}") for number in range(int(seconds * 16))]
            half = len(links) // 2
            wrong = [link.replace(".jpg", ".gone") if at % 4 == 0 else link for at, link in enumerate(links)]
            for batch in (links[:half], wrong[half:]):
                await asyncio.sleep(2 * SCRAPE_S)  # Prometheus sees how it was before
                made = await up.upload(
                    csv_of([[link] for link in batch]), rowsPerShard="10", webhook_url=receiver.url("/")
                )
                await up.until_done(made["request_id"])
            await until(lambda: len(receiver.requests) == 2)
            await asyncio.sleep(3 * SCRAPE_S)
            return [
                await _drawing(prometheus, panel, begun, time.time())
                for panel in json.loads(DASHBOARD.read_text())["panels"]
            ]


async def _drawing(prometheus: Prometheus, panel: dict[str, Any], start_s: float, end_s: float) -> Drawing:
    lines = []
    for target in panel["targets"]:
        for series in await prometheus.lines(target["expr"], start_s, end_s):
            legend = target["legendFormat"]
            for label, value in series["metric"].items():
                legend = legend.replace("{{" + label + "}}", value)
            points = [(float(at), float(value)) for at, value in series["values"]]
            if points := [point for point in points if not math.isnan(point[1])]:
                lines.append(Line(legend, points))
    return Drawing(panel["title"], panel["fieldConfig"]["defaults"]["unit"], lines, start_s, end_s)


def svg(drawings: list[Drawing]) -> str:
    """All panels, three in a row."""
    rows = -(-len(drawings) // A_ROW)
    width, height = A_ROW * (WIDTH + GAP) + GAP, rows * (HEIGHT + GAP) + GAP
    panels = "\n".join(
        f'<g transform="translate({GAP + at % A_ROW * (WIDTH + GAP)},{GAP + at // A_ROW * (HEIGHT + GAP)})">'
        + "".join(_panel(each))
        + "</g>"
        for at, each in enumerate(drawings)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11" fill="#333">\n<rect width="{width}" height="{height}" fill="#f4f5f7"/>\n{panels}\n</svg>\n'
    )


def _panel(drawing: Drawing) -> Iterator[str]:
    most = max((value for line in drawing.lines for _, value in line.points), default=1.0) or 1.0
    first, last = drawing.start_s, drawing.end_s
    plot_width, plot_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" rx="4" fill="#fff" stroke="#ddd"/>'
    yield f'<text x="12" y="19" font-weight="bold">{escape(drawing.title)}</text>'
    for share in (0.0, 0.5, 1.0):
        y = TOP + plot_height * (1 - share)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eee"/>'
        yield f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{_short(most * share)}</text>'
    x, legend_y = float(LEFT), HEIGHT - 26
    for line, colour in zip(drawing.lines, COLOURS * len(drawing.lines), strict=False):
        path = " ".join(
            f"{LEFT + (at - first) / (last - first) * plot_width:.1f},"
            f"{TOP + plot_height * (1 - value / most):.1f}"
            for at, value in line.points
        )
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        wide = 20 + 5 * len(line.legend)
        if x + wide > WIDTH:
            x, legend_y = LEFT, legend_y + 14
        yield f'<rect x="{x:.0f}" y="{legend_y - 8}" width="8" height="8" fill="{colour}"/>'
        yield f'<text x="{x + 11:.0f}" y="{legend_y}" font-size="9">{escape(line.legend)}</text>'
        x += wide
    yield f'<text x="{WIDTH - RIGHT}" y="19" text-anchor="end" fill="#888">{escape(drawing.unit)}</text>'
    yield f'<text x="{LEFT}" y="{HEIGHT - 43}" font-size="9" fill="#888">0 s</text>'
    end = f"{last - first:.0f} s"
    yield f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 43}" font-size="9" text-anchor="end" fill="#888">{end}</text>'


def _short(value: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"


def _main(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path.write_text(svg(asyncio.run(over_a_run(Path(folder), seconds=60))))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
