"""The real system, a shop, and a real browser, once for each module: the tests of a module share an event loop."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from imagebatch_testing import browser
from imagebatch_testing.browser import Tab
from imagebatch_testing.cluster import prerequisites
from imagebatch_testing.cluster.errors import UnavailableError
from imagebatch_testing.shop_and_system import Running, running

expect.set_options(timeout=browser.TIMEOUT_MS)

OpenTab = Callable[..., AbstractAsyncContextManager[Tab]]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def program() -> str:
    """The browser; without one the test is skipped, in CI it fails."""
    try:
        return browser.find()
    except UnavailableError as error:
        give_up = pytest.fail if prerequisites.in_ci() else pytest.skip
        give_up(str(error))


@pytest.fixture(scope="module")
async def chromium(program: str, anyio_backend: str) -> AsyncIterator[Browser]:  # noqa: ARG001 - its loop
    async with browser.launched(program) as launched:
        yield launched


@pytest.fixture(scope="module")
async def system(
    program: str,  # noqa: ARG001 - without a browser it is not started
    tmp_path_factory: pytest.TempPathFactory,
    anyio_backend: str,  # noqa: ARG001 - its loop
) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("system")) as started:
        yield started


@pytest.fixture
def open_tab(chromium: Browser, system: Running) -> OpenTab:
    """Opens windows; whatever a page asks of strange hosts, or does against its policy, fails the test."""

    @asynccontextmanager
    async def opening(url: str = system.url, **given: Any) -> AsyncIterator[Tab]:
        async with browser.tab(chromium, url, **given) as tab:
            yield tab
            assert tab.complaints == []
            assert {host.partition(":")[0] for host in tab.hosts} <= {"127.0.0.1"}

    return opening


@pytest.fixture
def catalogue(system: Running, tmp_path: Path) -> Path:
    """A CSV of three pictures that are there and one that is not."""
    path = tmp_path / "products.csv"
    path.write_bytes(system.csv(good=3, missing=1))
    return path
