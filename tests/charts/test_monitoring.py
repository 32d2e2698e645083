"""Alerts and dashboard: made by the chart where they are wanted, right by promtool, and about metrics that exist."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from imagebatch.batch.work_queue import WorkQueue
from imagebatch.metrics import BatchMetrics
from imagebatch.records import Records
from imagebatch_api.metrics import Metrics
from imagebatch_testing import needed
from imagebatch_testing.chart import ROOT, load
from imagebatch_testing.prometheus import ALERTS, DASHBOARD, PACKAGE

from .conftest import Render

CASES = Path(__file__).parent / "alerts_test.yaml"
PAGE = (ROOT / "docs" / "metrics.md").read_text()
NAME = re.compile(r"\bimagebatch_\w+")


@pytest.fixture(scope="session")
def promtool() -> Path:
    return needed.packaged("promtool", PACKAGE)


def run(*words: str | Path) -> None:
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture
async def names(records: Records) -> set[str]:
    """Of all series that our programs show."""
    metrics = BatchMetrics(records)
    metrics.watch_queue(WorkQueue())
    text = Metrics().text() + await metrics.text()
    shown = set(re.findall(r"^# TYPE (\w+)", text.decode(), re.MULTILINE))
    return {name for name in shown if not name.endswith("_created")}


def test_the_rules_are_right(promtool: Path) -> None:
    run(promtool, "check", "rules", ALERTS)


def test_each_alert_fires_when_it_should_and_not_before(promtool: Path, tmp_path: Path) -> None:
    for path in (ALERTS, CASES):
        shutil.copy(path, tmp_path)
    run(promtool, "test", "rules", tmp_path / CASES.name)
    (rules,), (cases,) = load(ALERTS.read_text()), load(CASES.read_text())
    tried = {
        case["alertname"]
        for test in cases["tests"]
        for case in test["alert_rule_test"]
        if "exp_alerts" in case
    }
    assert {rule["alert"] for group in rules["groups"] for rule in group["rules"]} == tried


def asked_for(path: Path) -> set[str]:
    """The metrics that a file's queries name."""
    return {re.sub("_bucket$", "", name) for name in NAME.findall(path.read_text())}


@pytest.mark.anyio
@pytest.mark.integration
@pytest.mark.parametrize("path", [ALERTS, DASHBOARD], ids=lambda path: path.name)
async def test_what_is_asked_for_is_shown(names: set[str], path: Path) -> None:
    assert asked_for(path) - names == set()


@pytest.mark.anyio
@pytest.mark.integration
async def test_every_metric_of_batches_is_documented(names: set[str]) -> None:
    assert sorted(name for name in names if f"`{name}" not in PAGE and name not in OF_THE_API) == []


OF_THE_API = set(re.findall(r"^# TYPE (\w+)", Metrics().text().decode(), re.MULTILINE))
"""docs/api.md has them."""


def test_every_alert_is_documented() -> None:
    (rules,) = load(ALERTS.read_text())
    alerts = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    assert [alert for alert in alerts if f"`{alert}`" not in PAGE] == []


def test_the_dashboard_is_as_its_source_makes_it() -> None:
    code = "import make_dashboard, sys; sys.stdout.write(make_dashboard.text())"
    made = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "docs", capture_output=True, text=True, check=True
    )
    assert made.stdout == DASHBOARD.read_text(), "run python docs/make_dashboard.py"


def test_the_chart_makes_them_where_they_are_wanted(rendered: Render) -> None:
    made = rendered("everything-on")
    (rule,) = made.all("PrometheusRule")
    (rules,) = load(ALERTS.read_text())
    assert rule["spec"] == rules
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    (config,) = (found for found in made.all("ConfigMap") if found["metadata"]["name"].endswith("-dashboard"))
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["imagebatch.json"]) == json.loads(DASHBOARD.read_text())


def test_nobody_gets_them_unasked(rendered: Render) -> None:
    made = rendered("minimal")
    assert made.all("PrometheusRule") == []
    assert [found for found in made.all("ConfigMap") if "dashboard" in found["metadata"]["name"]] == []
