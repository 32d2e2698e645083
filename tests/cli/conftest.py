"""One `imagebatch up` for each module that asks for it, and the command that talks to it."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from imagebatch_testing.local import Ended, imagebatch
from imagebatch_testing.shop_and_system import Running, running

Command = Callable[..., Awaitable[Ended]]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Of the module, as the system that its tests share."""
    return "asyncio"


@pytest.fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("system")) as started:
        yield started


@pytest.fixture
def command(system: Running) -> Command:
    """Runs `imagebatch` to its end, against the system."""

    async def run(*words: object, **extra: str) -> Ended:
        return await imagebatch(*map(str, words), IMAGEBATCH_SERVER=system.url, **extra)

    return run
