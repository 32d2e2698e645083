"""A real Prometheus reads a local system at work: every panel of the dashboard has lines, and no alert fires wrongly."""

from pathlib import Path

import pytest

from imagebatch_testing import needed
from imagebatch_testing.dashboard_picture import Drawing, over_a_run, svg
from imagebatch_testing.local import Up
from imagebatch_testing.prometheus import PACKAGE, Prometheus
from imagebatch_testing.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.fixture(autouse=True)
def there_is_a_prometheus() -> None:
    needed.packaged("prometheus", PACKAGE)


async def test_every_panel_has_lines_over_a_run(tmp_path: Path) -> None:
    drawings = await over_a_run(tmp_path, seconds=10)
    rising = {each.title: _rising(each) for each in drawings}
    assert [each.title for each in drawings if not each.lines] == []
    assert rising["Images a second"] == {"succeeded", "failed"}
    assert rising["Failed images a second, by code"] == {"http_status"}
    assert rising["Bytes of images"] == {"in", "out"}
    assert rising["Seconds an image, by stage"] == {"download", "compress", "store"}
    assert "Complete" in rising["Batches that ended, an hour"]
    assert "delivered, a minute" in rising["Webhooks"]
    assert "running" in rising["Shards"]
    assert svg(drawings).count("<polyline") == sum(len(each.lines) for each in drawings)


def _rising(drawing: Drawing) -> set[str]:
    """The legends of the lines that are ever above zero."""
    return {line.legend for line in drawing.lines if any(value > 0 for _, value in line.points)}


async def test_prometheus_takes_the_alerts_and_none_fires_on_an_idle_system(tmp_path: Path) -> None:
    async with Up(tmp_path / "data") as up, Prometheus(tmp_path, f"127.0.0.1:{up.port}") as prometheus:

        async def is_read() -> bool:
            return bool(await prometheus.query("imagebatch_postgres_up == 1"))

        async def is_evaluated() -> bool:
            return all(rule["health"] == "ok" for rule in await prometheus.alerts())

        await until(is_read)
        await until(is_evaluated)
        rules = await prometheus.alerts()
        assert len(rules) == 8
        assert [rule["name"] for rule in rules if rule["state"] != "inactive"] == []
