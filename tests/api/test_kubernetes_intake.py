"""Uploads as ImageBatch objects: what is created, and what an object without a row tells."""

import pytest

from imagebatch import manifests
from imagebatch.batch.lifecycle import Desired, Phase
from imagebatch.batch.spec import BatchSpec
from imagebatch.custom_resource import ImageBatch
from imagebatch.records import NewRequest
from imagebatch_api.status import ResultLinks, status_document

ID = "11111111-2222-3333-4444-555555555555"


def an_object(webhook_url: str | None = None, uploaded_by: str | None = None) -> dict[str, object]:
    request = NewRequest(
        request_id=ID,
        spec=BatchSpec(desired=Desired(parallelism=7)).as_spec(),
        webhook_url=webhook_url,
        input_sha256="digest",
        uploaded_by=uploaded_by,
    )
    return manifests.of_upload(request, "shop")


def test_an_upload_is_an_object_named_after_its_id() -> None:
    made = an_object("https://hook.example/")
    spec = made["spec"]
    assert isinstance(spec, dict)
    assert spec["requestId"] == ID
    assert spec["source"] == {"s3": {"key": f"batches/{ID}/input.csv"}}
    assert spec["webhook"] == {"url": "https://hook.example/"}
    assert spec["sharding"]["parallelism"] == 7
    assert "deadlineSeconds" not in spec["limits"]


def test_without_a_webhook_there_is_no_field_for_it() -> None:
    assert "webhook" not in an_object()["spec"]  # type: ignore[operator]


@pytest.mark.parametrize("uploaded_by", ["shop", None])
def test_an_object_says_whose_it_is(uploaded_by: str | None) -> None:
    made = an_object(uploaded_by=uploaded_by)
    metadata = made["metadata"]
    assert isinstance(metadata, dict)
    assert metadata["annotations"].get("imagebatch.dev/uploaded-by") == uploaded_by
    metadata.update(uid="uid-1", creationTimestamp="2026-05-01T10:00:00Z")
    assert ImageBatch(made).request().uploaded_by == uploaded_by


@pytest.mark.parametrize(
    ("status", "phase", "word"),
    [
        ({}, Phase.PENDING, "pending"),
        ({"phase": "Complete", "outputCsv": "http://…"}, Phase.COMPLETE, "complete"),
    ],
    ids=["fresh", "complete"],
)
def test_an_object_answers_for_a_row_that_is_not_there(
    status: dict[str, object], phase: Phase, word: str
) -> None:
    made = an_object()
    metadata = made["metadata"]
    assert isinstance(metadata, dict)
    metadata.update(uid="uid-1", creationTimestamp="2026-05-01T10:00:00Z")
    found = ImageBatch({**made, "status": status}).request()
    assert (found.phase, found.owner, found.input_sha256) == (phase, "uid-1", "digest")
    document = status_document(found, ResultLinks())
    assert (document["status"], document["created_at"]) == (word, "2026-05-01T10:00:00.000Z")
