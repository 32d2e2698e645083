"""The ImageBatch custom resource: its names, and how an upload becomes an object.

The API creates these objects and the operator works them off; neither knows the other. The schema is the
chart's CustomResourceDefinition.
"""

from collections.abc import Mapping
from typing import Any

from imagebatch import keys
from imagebatch.outcome import Counts

GROUP = "imagebatch.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ImageBatch"
PLURAL = "imagebatches"

INPUT_SHA256 = f"{GROUP}/input-sha256"
"""Annotation: the digest of an upload's file as it came, by which a repeated upload is known."""


def of_upload(
    request_id: str, namespace: str, spec: Mapping[str, Any], webhook_url: str | None, input_sha256: str
) -> dict[str, Any]:
    """The object of an upload whose canonical CSV and plan are on S3; it is named after its request id."""
    webhook = {"webhook": {"url": webhook_url}} if webhook_url else {}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": request_id,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "imagebatch-api"},
            "annotations": {INPUT_SHA256: input_sha256},
        },
        "spec": {
            **without_nothing(spec),
            "requestId": request_id,
            "source": {"s3": {"key": keys.canonical_input(request_id)}},
            **webhook,
        },
    }


def counts_of(status: Mapping[str, Any]) -> Counts:
    """The counts that an object's status tells."""
    images, size = status.get("images", {}), status.get("bytes", {})
    total, succeeded, failed = (images.get(name, 0) for name in ("total", "succeeded", "failed"))
    return Counts(total, succeeded, failed, size.get("in", 0), size.get("out", 0))


def without_nothing(spec: Mapping[str, Any]) -> dict[str, Any]:
    """`spec` without fields that are None, at any depth: the API server takes no null for a number."""
    return {
        name: without_nothing(value) if isinstance(value, Mapping) else value
        for name, value in spec.items()
        if value is not None
    }
