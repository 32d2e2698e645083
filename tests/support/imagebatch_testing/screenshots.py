"""Pictures of the page in each of its states for docs/page.md, by the real system: `make screenshots`."""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.async_api import Browser

from imagebatch_testing import browser
from imagebatch_testing.browser import NARROW, WIDE, Tab
from imagebatch_testing.example_shop import Hold, open_on
from imagebatch_testing.shop_and_system import Running, running

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "screenshots"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SIZES = {"wide": WIDE, "narrow": NARROW}
TALLEST = 2000
QUALITY = 82
ALL_PICTURES = """async () => {
  const pictures = [...document.images];
  pictures.forEach((one) => (one.loading = "eager"));
  await Promise.all(pictures.map((one) => one.decode().catch(() => null)));
}"""
"""Wait for the pictures below the window, too, which a browser leaves for later."""


@dataclass(frozen=True)
class Scene:
    """The system, a catalogue, and batches of it: one that runs, and one at its end."""

    system: Running
    catalogue: Path
    under_way: str
    ended: str


Show = Callable[[Tab, Scene], Awaitable[None]]


async def upload(tab: Tab, _: Scene) -> None:
    await tab.page.goto("/")


async def preview(tab: Tab, scene: Scene) -> None:
    await tab.page.goto("/")
    await tab.page.set_input_files("#file", scene.catalogue)
    await tab.page.locator(".summary b").wait_for()


async def live(tab: Tab, scene: Scene) -> None:
    await tab.page.goto(f"/page/batches/{scene.under_way}")
    await tab.until("document.querySelectorAll('#recent img').length >= 10")


async def results(tab: Tab, scene: Scene) -> None:
    await tab.page.goto(f"/page/batches/{scene.ended}")
    await tab.page.locator("#grid img").first.wait_for()


async def compare(tab: Tab, scene: Scene) -> None:
    await results(tab, scene)
    await tab.page.locator("#grid a").nth(3).click()
    await tab.until(
        "[...document.querySelectorAll('.stage img')].every((one) => one.complete && one.naturalWidth)"
    )


async def batches(tab: Tab, _: Scene) -> None:
    await tab.page.goto("/page/batches")


SHOWS: dict[str, Show] = {
    "upload": upload,
    "preview": preview,
    "live": live,
    "results": results,
    "compare": compare,
    "batches": batches,
}


@dataclass(frozen=True)
class Shot:
    """One picture that is taken."""

    state: str
    width: str
    scheme: Literal["light", "dark"]

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.state}-{self.width}-{self.scheme}.webp"


def shots() -> list[Shot]:
    return [Shot(*one) for one in product(SHOWS, SIZES, SCHEMES)]


async def make() -> None:
    """Run the system, bring it into each state, and write the pictures anew."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder)) as system, browser.launched(browser.find()) as chromium:
            hold = Hold.after(30)
            scene = await _prepared(system, Path(folder), hold)
            for shot in shots():
                await _shoot(chromium, scene, shot)
                sys.stdout.write(f"{shot.path.name}: {shot.path.stat().st_size // 1000} kB\n")
            hold.let_go()


async def _prepared(system: Running, folder: Path, hold: Hold) -> Scene:
    catalogue = folder / "products.csv"
    catalogue.write_bytes(open_on(system.shop))
    hook = {"webhook_url": system.receiver.url("/hook")}
    ended = await system.up.upload(catalogue.read_bytes(), **hook)
    await system.up.until_done(ended["request_id"])
    cancelled = await system.up.upload(open_on(system.shop, Hold.after(0), "/never"))
    await system.up.http.post(f"/batches/{cancelled['request_id']}/cancel")
    await system.up.until_done(cancelled["request_id"])
    under_way = await system.up.upload(open_on(system.shop, hold, "/held"), rowsPerShard="4")
    await system.up.until_done(under_way["request_id"], images=28)
    return Scene(system, catalogue, under_way["request_id"], ended["request_id"])


async def _shoot(chromium: Browser, scene: Scene, shot: Shot) -> None:
    size = SIZES[shot.width]
    async with browser.tab(chromium, scene.system.url, size=size, scheme=shot.scheme) as tab:
        await SHOWS[shot.state](tab, scene)
        await tab.page.evaluate(ALL_PICTURES)
        taken = shot.path.with_suffix(".png")
        await tab.page.screenshot(path=taken, full_page=shot.state != "compare")
        with Image.open(taken) as image:
            shown = image.crop((0, 0, image.width, min(image.height, TALLEST)))
            shown.save(shot.path, quality=QUALITY, method=6)
        taken.unlink()


if __name__ == "__main__":
    asyncio.run(make())
