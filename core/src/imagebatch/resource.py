"""The ImageBatch custom resource: its names, and how an upload becomes an object.

The API creates these objects and the operator works them off; neither knows the other. The schema is the
chart's CustomResourceDefinition.
"""

from collections.abc import Mapping
from typing import Any

from imagebatch import keys
from imagebatch.outcome import Counts, Qualities
from imagebatch.records import NewRequest

GROUP = "imagebatch.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ImageBatch"
PLURAL = "imagebatches"

INPUT_SHA256 = f"{GROUP}/input-sha256"
"""Annotation: the digest of an upload's file as it came, by which a repeated upload is known."""

UPLOADED_BY = f"{GROUP}/uploaded-by"
"""Annotation: the name of the token it was uploaded with, whose holders alone see it through the API."""


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
            "source": {"s3": {"key": keys.canonical_input(request.request_id, request.upload)}},
            **webhook,
        },
    }


def uploaded_by(metadata: Mapping[str, Any]) -> str | None:
    """Whose token an object was uploaded with; None for one that `kubectl apply` made."""
    name = (metadata.get("annotations") or {}).get(UPLOADED_BY)
    return str(name) if name else None


def counts_of(status: Mapping[str, Any]) -> Counts:
    """The counts that an object's status tells."""
    images, size = status.get("images", {}), status.get("bytes", {})
    numbers = {name: images.get(name, 0) for name in ("total", "succeeded", "failed", "skipped")}
    return Counts(**numbers, bytes_in=size.get("in", 0), bytes_out=size.get("out", 0))


def quality_status(qualities: Qualities) -> dict[str, int]:
    """A status's `quality`: whole numbers, and no mean of nothing."""
    found = {
        "exact": qualities.exact,
        "approximate": qualities.approximate,
        "assumed": qualities.assumed,
        "kept": qualities.kept,
        "encoded": qualities.encoded,
        "sourceMean": qualities.source_mean,
        "encodedMean": qualities.encoded_mean,
    }
    return {name: round(value) for name, value in found.items() if value is not None}


def qualities_of(status: Mapping[str, Any]) -> Qualities:
    """The qualities that an object's status tells. It has means of one decimal; of the sums it is only true
    that they have these means.
    """
    told = status.get("quality", {})
    exact, approximate, assumed = (told.get(name, 0) for name in ("exact", "approximate", "assumed"))
    return Qualities(
        exact=exact,
        approximate=approximate,
        assumed=assumed,
        kept=told.get("kept", 0),
        encoded=told.get("encoded", 0),
        source_sum=round((exact + approximate + assumed) * told.get("sourceMean", 0)),
        encoded_sum=round(told.get("encoded", 0) * told.get("encodedMean", 0)),
    )


def without_nothing(spec: Mapping[str, Any]) -> dict[str, Any]:
    """`spec` without fields that are None, at any depth: the API server takes no null for a number."""
    return {
        name: without_nothing(value) if isinstance(value, Mapping) else value
        for name, value in spec.items()
        if value is not None
    }
