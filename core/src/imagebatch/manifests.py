"""The ImageBatch objects that ImageBatch makes itself: for uploads, and again for rows that lost theirs."""

from collections.abc import Mapping
from typing import Any

from imagebatch.custom_resource import API_VERSION, INPUT_SHA256, KIND, RESTORES, UPLOADED_BY
from imagebatch.records import NewRequest, Request
from imagebatch.storage import keys


def of_upload(request: NewRequest, namespace: str) -> dict[str, Any]:
    """The object of an upload whose canonical CSV and plan are on S3; it is named after its request id."""
    webhook = {"webhook": {"url": request.webhook_url}} if request.webhook_url else {}
    by_whom = {UPLOADED_BY: request.uploaded_by} if request.uploaded_by else {}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": request.request_id,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "imagebatch-api"},
            "annotations": {INPUT_SHA256: request.input_sha256, **by_whom},
        },
        "spec": {
            **without_nothing(request.spec),
            "requestId": request.request_id,
            "source": {
                **request.spec.get("source", {}),
                "s3": {"key": keys.canonical_input(request.request_id, request.upload)},
            },
            **webhook,
        },
    }


def of_row(request: Request, word: str) -> dict[str, Any]:
    """The object of a pending request that lost its own, to be made again. Its plan must be on S3, for a
    source is not in the row.
    """
    namespace, _, name = request.object.partition("/")
    made = of_upload(
        NewRequest(
            request_id=request.request_id,
            spec=request.spec,
            input_sha256=request.input_sha256,
            webhook_url=request.webhook_url,
            uploaded_by=request.uploaded_by,
            upload=request.upload,
        ),
        namespace,
    )
    made["metadata"]["name"] = name
    made["metadata"]["annotations"][RESTORES] = word
    made["spec"]["attempt"] = request.attempt
    if request.webhook_secret:
        _, secret, key = request.webhook_secret.split("/")
        made["spec"]["webhook"]["secretRef"] = {"name": secret, "key": key}
    return made


def without_nothing(spec: Mapping[str, Any]) -> dict[str, Any]:
    """`spec` without fields that are None, at any depth: the API server takes no null for a number."""
    return {
        name: without_nothing(value) if isinstance(value, Mapping) else value
        for name, value in spec.items()
        if value is not None
    }
