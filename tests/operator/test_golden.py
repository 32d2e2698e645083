"""Golden manifests: for each object in golden/, the Job and the status that the operator makes of it.

`UPDATE_GOLDEN=1 pytest tests/operator/test_golden.py` writes what is made now; read the difference.
"""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from imagebatch.batch.executor import ShardCounts
from imagebatch.batch.lifecycle import Phase, Waiting
from imagebatch.custom_resource import ImageBatch
from imagebatch.outcome import Counts, Qualities
from imagebatch.records import Request, Suspension
from imagebatch.storage.keys import input_of_upload
from imagebatch_operator.job import InputLinks, JobInput, shard_job
from imagebatch_operator.settings import OperatorSettings
from imagebatch_operator.status import ResultLinks, status_of

GOLDEN = Path(__file__).with_name("golden")
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
OPEN = {"again": [1, 4]}
"""The shards that an object's Job does, of five; all where nothing is said."""

RUNNING: dict[str, Any] = {"phase": Phase.RUNNING, "rows": 40, "started_at": NOW - timedelta(minutes=3)}
VIEWS: dict[str, dict[str, Any]] = {
    "plain": {**RUNNING, "message": "12 of 40 images", "counts": Counts(40, 11, 1, 9000, 4000)},
    "full": {
        **RUNNING,
        "phase": Phase.COMPLETE,
        "message": "39 of 40 images; 1 failed (http_status 1)",
        "counts": Counts(40, 39, 1, 90_000, 40_000),
        "errors_by_code": {"http_status": 1},
        "qualities": Qualities(exact=39, encoded=39, source_sum=39 * 90, encoded_sum=39 * 45),
        "output_key": "o",
        "errors_key": "e",
        "report_key": "r",
        "finished_at": NOW,
        "suspension": Suspension(61.0),
    },
    "again": {
        **RUNNING,
        "counts": Counts(40, 0, 0),
        "waiting": Waiting(
            "StoreUnavailable", "pod again-a2-1: tried again until it works: S3: AccessDenied"
        ),
    },
}
"""The row that each object's status is made from."""


def objects() -> list[str]:
    return sorted(path.stem for path in GOLDEN.glob("*.yaml") if not path.stem.endswith(("-job", "-status")))


def read(name: str) -> Any:
    return yaml.safe_load((GOLDEN / f"{name}.yaml").read_text())


def compare(name: str, made: Any) -> None:
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(yaml.safe_dump(made, sort_keys=False, width=110))
    assert made == read(name)


def test_there_are_objects() -> None:
    assert objects() == sorted(VIEWS)


@pytest.mark.parametrize("name", objects())
def test_the_job_of_an_object(name: str, settings: OperatorSettings) -> None:
    batch = ImageBatch(read(name))
    links = InputLinks("http://s3/plan?signed", "http://s3/input?signed", NOW + timedelta(days=7))
    given = JobInput(input_of_upload(batch.request_id, batch.upload), links)
    compare(f"{name}-job", shard_job(batch, OPEN.get(name, list(range(5))), 5, settings, given))


@pytest.mark.parametrize("name", objects())
def test_the_status_of_an_object(name: str) -> None:
    batch = ImageBatch(read(name))
    row: Request = replace(batch.request(), **VIEWS[name])
    is_finished = row.phase.is_terminal
    links = (
        ResultLinks("http://s3/o.csv", "/batches/x/errors.csv", "/batches/x/report.csv")
        if is_finished
        else ResultLinks()
    )
    shards = ShardCounts(5, 5 if is_finished else 1, 2)
    compare(f"{name}-status", status_of(batch, row, NOW, links=links, shards=shards, job="the-job"))
