"""What is written, what the schema takes, and what a spec may say are the same fields, each with one name."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

from imagebatch.batch.executor import ShardCounts
from imagebatch.batch.lifecycle import Phase, Waiting
from imagebatch.batch.retention import FORM_FIELDS, KeepDays
from imagebatch.batch.spec import BatchSpec
from imagebatch.csv import columns
from imagebatch.csv.columns import ColumnNames, ColumnOptions
from imagebatch.options import MAX_SIDE, MAX_TARGET_BYTES, Compression, Format
from imagebatch.outcome import Counts, Qualities
from imagebatch.records import RecordedDelivery, Removed, Suspension
from imagebatch_api import schemas
from imagebatch_operator.links import links_status
from imagebatch_operator.status import ResultLinks, status_of
from imagebatch_operator.status_writer import webhook_status
from imagebatch_operator.webhook_tests import webhook_test_status
from imagebatch_operator.webhooks import NOT_ENDED, redelivery_status
from imagebatch_testing.chart import CHART, load

from .conftest import MakeBatch, a_request

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
NOT_FOR_SPECS = frozenset({"webhook_url", "encoding"})
"""Fields of an upload that an object has in other places."""


def schema() -> dict[str, Any]:
    (crd,) = load((CHART / "files" / "crd.yaml").read_text())
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return found


def names(properties: Mapping[str, Any]) -> set[str]:
    """The paths of all fields of a schema, objects in lists included."""
    found = set()
    for name, field in properties.items():
        inner = field.get("properties") or field.get("items", {}).get("properties", {})
        found |= {name, *(f"{name}.{below}" for below in names(inner))}
    return found


def paths(value: object) -> set[str]:
    """The same of a document."""
    if isinstance(value, list):
        return set().union(*map(paths, value))
    if not isinstance(value, dict):
        return set()
    return set().union(
        *({name, *(f"{name}.{below}" for below in paths(inner))} for name, inner in value.items())
    )


def answers() -> list[dict[str, Any]]:
    """What the operator writes for who asks, refusals among it."""
    signed = links_status("asked", {"errorsCsv": ["l"], "reportCsv": ["l"]}, NOW)
    ended = {"id": "msg_test_1", "delivered": False, "error": "HTTP 500"}
    return [
        signed,
        links_status("asked", {"error": NOT_ENDED}),
        redelivery_status("asked", NOT_ENDED),
        webhook_test_status("asked", ended),
    ]


def test_a_status_has_the_fields_of_the_schema(a_batch: MakeBatch) -> None:
    qualities = Qualities(exact=1, approximate=1, assumed=1, kept=1, encoded=3, source_sum=9, encoded_sum=9)
    row = a_request(
        Phase.FAILED,
        message="m",
        error="e",
        rows=3,
        counts=Counts(3, 1, 1, 9, 4, 1),
        errors_by_code={"http_status": 1},
        qualities=qualities,
        waiting=Waiting("r", "w"),
        started_at=NOW,
        finished_at=NOW,
        suspension=Suspension(9.0, NOW),
        removed=Removed(working_files=NOW, outputs=NOW, images=NOW),
    )
    status = status_of(
        a_batch(), row, NOW, links=ResultLinks("o", "e", "r"), shards=ShardCounts(3, 2, 1), job="j"
    )
    delivery = RecordedDelivery("msg_1", 1, "http://hook.example/", "failed", 9, "HTTP 500", NOW)
    written = paths(status) | paths(webhook_status(a_batch(), [delivery]))
    written |= set().union(*map(paths, answers()))
    written -= {"failures.http_status"}  # a map: its keys are error codes
    assert written == names(schema()["status"]["properties"])


def test_a_recorded_spec_has_the_fields_of_the_schema() -> None:
    spec = names(schema()["spec"]["properties"])
    recorded = paths(
        replace(
            BatchSpec(),
            columns=ColumnOptions(columns=ColumnNames("a", "b", ("c",)), preset="shopify", in_place=True),
            compression=Compression(target_bytes=1, max_width=1, max_height=1),
            keep=KeepDays(working_files=1, outputs=1, images=1),
        ).as_spec()
    )
    only_objects = {"requestId", "attempt", "ttlSecondsAfterFinished"}
    of_file = ("source.columns", "source.preset", "source.inPlace")
    others = {
        name for name in spec if name.startswith(("source.", "webhook")) and not name.startswith(of_file)
    }
    others |= only_objects
    assert recorded == spec - others


def test_an_upload_may_ask_for_what_a_spec_may() -> None:
    compression, sharding, limits = (
        schema()["spec"]["properties"][part]["properties"] for part in ("compression", "sharding", "limits")
    )
    source = schema()["spec"]["properties"]["source"]["properties"].keys() & set(columns.OPTION_NAMES)
    kept = schema()["spec"]["properties"]["keepDays"]["properties"]
    days = {name: kept[kind] for name, kind in FORM_FIELDS.items()}
    assert len(days) == len(kept)
    assert {*compression, *sharding, *limits, *source, *days} == schemas.FIELDS.keys() - NOT_FOR_SPECS
    for name, field in {**compression, **sharding, **limits, **days}.items():
        for bound in ("minimum", "maximum"):
            assert schemas.FIELDS[name].get(bound) == field.get(bound), (name, bound)
    presets = schema()["spec"]["properties"]["source"]["properties"]["preset"]["enum"]
    assert presets == list(columns.PRESETS)
    assert compression["format"]["enum"] == list(get_args(Format))
    assert (compression["maxWidth"]["maximum"], compression["targetBytes"]["maximum"]) == (
        MAX_SIDE,
        MAX_TARGET_BYTES,
    )
