"""A system with nothing to do does nothing."""

from pathlib import Path

import pytest

from imagebatch_testing.idle import measure, watched
from imagebatch_testing.servers import Servers

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

SECONDS = 30.0
SHARE_OF_A_CORE = 0.005
SHARE_OF_WEED = 0.01
"""SeaweedFS ticks by itself: 0.3 to 0.5% of a core, whoever uses it."""


@pytest.mark.usefixtures("records")  # none: what is due would be something to do
async def test_an_idle_system_asks_nobody_anything(servers: Servers, tmp_path: Path) -> None:
    async with watched(servers, tmp_path) as system:
        idle = await measure(system, SECONDS)
    assert idle.statements <= idle.seconds, system.postgres.statements[-idle.statements :]
    assert idle.s3_requests == 0
    assert idle.cpu.keys() == {"imagebatch_cli", "postgres", "weed"}
    greedy = {
        name: share
        for name, share in idle.cpu.items()
        if share > (SHARE_OF_WEED if name == "weed" else SHARE_OF_A_CORE)
    }
    assert not greedy
