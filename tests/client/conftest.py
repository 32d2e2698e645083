"""One `imagebatch up` for each module that asks for it."""

from collections.abc import AsyncIterator

import pytest

from imagebatch_testing.shop_and_system import Running, running


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Of the module, as the system that its tests share."""
    return "asyncio"


@pytest.fixture(scope="module")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with running(tmp_path_factory.mktemp("system")) as started:
        yield started
