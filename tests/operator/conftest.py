"""Builders for the operator's unit tests."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from imagebatch.batch.lifecycle import Phase
from imagebatch.custom_resource import ImageBatch
from imagebatch.records import Request
from imagebatch_operator.settings import OperatorSettings

UID = "0b1e8a52-7c7e-4d6a-9f0e-1d2c3b4a5968"

MakeBatch = Callable[..., ImageBatch]


def a_body(
    spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **metadata: Any
) -> dict[str, Any]:
    return {
        "apiVersion": "imagebatch.dev/v1alpha1",
        "kind": "ImageBatch",
        "metadata": {
            "name": "spring-catalogue",
            "namespace": "shop",
            "uid": UID,
            "generation": 3,
            "resourceVersion": "17",
            "creationTimestamp": "2026-05-01T10:00:00Z",
            **metadata,
        },
        "spec": {"source": {"inline": "a,b\n"}, **(spec or {})},
        "status": status or {},
    }


@pytest.fixture
def a_batch() -> MakeBatch:
    def make(
        spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None, **metadata: Any
    ) -> ImageBatch:
        return ImageBatch(a_body(spec, status, **metadata))

    return make


def a_request(phase: Phase = Phase.RUNNING, **fields: Any) -> Request:
    """A row as an object's status is made from."""
    return replace(ImageBatch(a_body()).request(), phase=phase, **fields)


@pytest.fixture
def settings() -> OperatorSettings:
    return OperatorSettings(
        DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",  # type: ignore[call-arg]
        s3_bucket="imagebatch",
        s3_endpoint="http://s3.example:9000",
        s3_access_key="operators-own",
        s3_secret_key="operators-secret",  # type: ignore[arg-type]
        namespaces="shop, other",
        jobrunner_image="imagebatch-jobrunner:1",
        jobrunner_s3_secret="jobrunner-s3",
        jobrunner_service_account="imagebatch-jobrunner",
    )
