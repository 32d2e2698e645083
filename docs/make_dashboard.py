"""Writes the Grafana dashboard of the chart, charts/imagebatch/files/dashboard.json.

python docs/make_dashboard.py
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATH = Path(__file__).parent.parent / "charts" / "imagebatch" / "files" / "dashboard.json"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT, A_ROW = 8, 7, 24
OF_JOB = '{job=~"$job"}'


@dataclass(frozen=True)
class Panel:
    """A drawing over time: each query with the legend of its lines, in which {{label}} stands for a label."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    description: str = ""


def rate(metric: str, by: str = "", having: str = "") -> str:
    """What is added a second."""
    selected = f'{metric}{{job=~"$job"{having}}}'
    return f"sum by ({by}) (rate({selected}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str = "") -> str:
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', ', '.join(filter(None, ('le', by))))})"


SUCCEEDED = ', outcome="succeeded"'
PANELS = (
    Panel(
        "Batches under way",
        "short",
        ((f"sum by (phase) (imagebatch_batches_pending{OF_JOB})", "{{phase}}"),),
    ),
    Panel(
        "Oldest batch and webhook under way",
        "s",
        (
            (f"max(imagebatch_oldest_pending_batch_seconds{OF_JOB})", "batch"),
            (f"max(imagebatch_oldest_pending_webhook_seconds{OF_JOB})", "webhook"),
        ),
        "What is suspended is left out.",
    ),
    Panel(
        "Batches that ended, an hour",
        "short",
        ((f"3600 * {rate('imagebatch_batches_ended_total', 'phase')}", "{{phase}}"),),
    ),
    Panel(
        "Images a second",
        "short",
        ((rate("imagebatch_images_total", "outcome"), "{{outcome}}"),),
        "Counted when their shard has ended.",
    ),
    Panel(
        "Failed images a second, by code",
        "short",
        ((rate("imagebatch_images_total", "code", ', outcome="failed"') + " > 0", "{{code}}"),),
        "docs/errors.md says what to do about each.",
    ),
    Panel(
        "Bytes of images",
        "Bps",
        ((rate("imagebatch_image_bytes_total", "direction"), "{{direction}}"),),
        "in: as downloaded; out: as stored.",
    ),
    Panel(
        "Seconds an image, by stage",
        "s",
        (
            (
                " / on () group_left () ".join(
                    [
                        rate("imagebatch_image_seconds_total", "stage"),
                        rate("imagebatch_images_total", "", SUCCEEDED),
                    ]
                ),
                "{{stage}}",
            ),
        ),
        "Waits are included: many images are under way at once.",
    ),
    Panel("Shards", "short", ((f"sum by (state) (imagebatch_shards{OF_JOB})", "{{state}}"),)),
    Panel(
        "How long batches take",
        "s",
        (
            (quantile(0.5, "imagebatch_batch_stage_seconds", "stage"), "{{stage}}, half"),
            (quantile(0.95, "imagebatch_batch_stage_seconds", "stage"), "{{stage}}, 95%"),
        ),
    ),
    Panel(
        "Webhooks",
        "short",
        (
            (f"60 * {rate('imagebatch_webhook_tries_total', 'result')}", "{{result}}, a minute"),
            (f"max(imagebatch_webhooks_pending{OF_JOB})", "pending"),
        ),
    ),
    Panel(
        "HTTP requests a second",
        "reqps",
        ((rate("imagebatch_http_requests_total", "status"), "{{status}}"),),
    ),
    Panel(
        "Looks at batches a second",
        "short",
        (
            (rate("imagebatch_reconciles_total"), "all"),
            (rate("imagebatch_reconcile_failures_total"), "ended in an error"),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """The dashboard by Grafana's JSON model."""
    return {
        "title": "ImageBatch",
        "uid": "imagebatch",
        "tags": ["imagebatch"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_source_variable(), _job_variable()]},
        "panels": list(_panels()),
    }


def _panels() -> Iterator[dict[str, Any]]:
    a_row = A_ROW // WIDTH
    for number, panel in enumerate(PANELS):
        yield {
            "id": number + 1,
            "type": "timeseries",
            "title": panel.title,
            "description": panel.description,
            "datasource": SOURCE,
            "gridPos": {
                "x": number % a_row * WIDTH,
                "y": number // a_row * HEIGHT,
                "w": WIDTH,
                "h": HEIGHT,
            },
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
            "targets": [
                {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": query, "legendFormat": legend}
                for place, (query, legend) in enumerate(panel.queries)
            ],
        }


def _source_variable() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _job_variable() -> dict[str, Any]:
    query = 'label_values({__name__=~"imagebatch_.+"}, job)'
    return {
        "name": "job",
        "type": "query",
        "label": "Job",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": "jobs"},
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def text() -> str:
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
