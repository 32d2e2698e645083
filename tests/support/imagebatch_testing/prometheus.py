"""A real Prometheus on loopback, which reads what our programs say of themselves."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from imagebatch_cli.data_folder import free_ports
from imagebatch_testing.chart import CHART
from imagebatch_testing.cluster import prerequisites
from imagebatch_testing.waiting import until

ALERTS = CHART / "files" / "alerts.yaml"
DASHBOARD = CHART / "files" / "dashboard.json"
JOB = "imagebatch"
PACKAGE = "prometheus"
SCRAPE_S = 1
RATE = f"{5 * SCRAPE_S}s"
"""What Grafana puts in the place of $__rate_interval, at this pace."""


class Prometheus:
    """An async context manager. It reads the `targets`, host and port, and our alerts."""

    def __init__(self, folder: Path, *targets: str) -> None:
        self._folder = folder
        (self._port,) = free_ports(1)
        self._config = {
            "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
            "rule_files": [str(ALERTS)],
            "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": list(targets)}]}],
        }
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._port}", trust_env=False)

    async def __aenter__(self) -> Self:
        """Raises UnavailableError where there is no Prometheus."""
        program = prerequisites.program("prometheus", PACKAGE)
        config = self._folder / "prometheus.yml"
        config.write_text(json.dumps(self._config))  # JSON is YAML
        words = {
            "config.file": config,
            "storage.tsdb.path": self._folder / "prometheus",
            "web.listen-address": f"127.0.0.1:{self._port}",
        }
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                program, *(f"--{name}={value}" for name, value in words.items()), stdout=log, stderr=log
            )
        await until(self._is_ready)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
        self._process.terminate()
        await self._process.wait()

    async def _is_ready(self) -> bool:
        assert self._process.returncode is None, (self._folder / "prometheus.log").read_text()
        try:
            return (await self.http.get("/-/ready")).is_success
        except httpx.HTTPError:
            return False

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression, now."""
        return await self._found("query", {"query": expression})

    async def lines(self, expression: str, start_s: float, end_s: float) -> list[dict[str, Any]]:
        """The series of a panel's expression over time, as Grafana asks for them: `metric` and `values`."""
        expression = expression.replace("$__rate_interval", RATE).replace("$job", ".*")
        words = {"query": expression, "start": start_s, "end": end_s, "step": SCRAPE_S}
        return await self._found("query_range", words)

    async def alerts(self) -> list[dict[str, Any]]:
        """The rules as they stand."""
        data = await self._data("rules", {})
        return [rule for group in data["groups"] for rule in group["rules"]]

    async def _found(self, call: str, words: Mapping[str, Any]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._data(call, words))["result"]
        return found

    async def _data(self, call: str, words: Mapping[str, Any]) -> dict[str, Any]:
        answer = (await self.http.get(f"/api/v1/{call}", params=dict(words))).json()
        assert answer["status"] == "success", answer
        data: dict[str, Any] = answer["data"]
        return data
