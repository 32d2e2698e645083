"""A real browser for tests and screenshots: Debian's Chromium, driven by playwright, and judged by axe-core."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from imagebatch_testing.cluster import prerequisites
from imagebatch_testing.cluster.errors import UnavailableError
from imagebatch_testing.waiting import until

PACKAGE = "chromium"
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",  # the tests may be run by root, for whom Chromium has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE, NARROW = (1280, 800), (390, 844)
TIMEOUT_MS = 30_000
LOADING = "Failed to load resource"
"""What Chromium says of a picture that is not there, which a page may name."""


def find() -> str:
    """The browser on this machine; Debian's is installed where packages may be.

    Raises UnavailableError with the one line that says what is missing.
    """
    if _found() is None and prerequisites.may_install():
        prerequisites.install([PACKAGE])
    program = _found()
    if program is None:
        raise UnavailableError(f"no browser: apt-get install {PACKAGE}")
    return program


def _found() -> str | None:
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


@asynccontextmanager
async def launched(program: str) -> AsyncIterator[Browser]:
    """A browser with a profile of its own, until the block ends."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


class Tab:
    """A page in a window of its own. `complaints` is what the browser had to say of it: breaches of its policy and
    errors of its scripts; `hosts` are those that it asked for anything.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.hosts.add(request.url.partition("://")[2].partition("/")[0]))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(LOADING):
            self.complaints.append(message.text)

    async def drop(self, selector: str, path: str) -> None:
        """Drag a file from the desktop onto an element, and let it go."""
        box = await self.page.locator(selector).bounding_box()
        assert box is not None
        devtools = await self.page.context.new_cdp_session(self.page)
        data = {"items": [], "files": [path], "dragOperationsMask": 1}
        where = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for kind in ("dragEnter", "dragOver", "drop"):
            await devtools.send("Input.dispatchDragEvent", {"type": kind, "data": data, **where})

    async def accessibility(self) -> list[str]:
        """What breaks axe-core's rules, and where."""
        found = await Axe().run(self.page)
        return [
            f"{violation['id']}: {violation['help']}: {node['html'][:160]}"
            for violation in found.response["violations"]
            for node in violation["nodes"]
        ]

    async def until(self, expression: str) -> None:
        """Wait until a script's expression is true: playwright's own wait is refused by the page's policy."""

        async def is_true() -> bool:
            return bool(await self.page.evaluate(expression))

        await until(is_true, TIMEOUT_MS / 1000)

    async def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        script = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        found: int = await self.page.evaluate(script)
        return found


@asynccontextmanager
async def tab(
    browser: Browser,
    base_url: str,
    *,
    size: tuple[int, int] = WIDE,
    scheme: Literal["light", "dark"] = "light",
    scripts: bool = True,
) -> AsyncIterator[Tab]:
    """A window that shares nothing with another."""
    given: dict[str, Any] = {"viewport": {"width": size[0], "height": size[1]}, "color_scheme": scheme}
    context: BrowserContext = await browser.new_context(
        base_url=base_url, java_script_enabled=scripts, reduced_motion="reduce", **given
    )
    context.set_default_timeout(TIMEOUT_MS)
    try:
        yield Tab(await context.new_page())
    finally:
        await context.close()
