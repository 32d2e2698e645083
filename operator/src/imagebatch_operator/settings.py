"""What the environment says to the operator. Read once, in `__main__`."""

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import NoDecode

from imagebatch.csv.ingest import Limits
from imagebatch.settings import (
    DatabaseSettings,
    NetworkSettings,
    RetentionSettings,
    S3Settings,
    WebhookSettings,
)

GIB = 1024**3
POD_FIELDS = frozenset(
    {
        "affinity",
        "annotations",
        "imagePullSecrets",
        "labels",
        "nodeSelector",
        "priorityClassName",
        "resources",
        "runtimeClassName",
        "tolerations",
        "topologySpreadConstraints",
    }
)


def _json_object(value: object) -> object:
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - pydantic reports ValueError
    return found


JsonObject = Annotated[dict[str, Any], NoDecode, BeforeValidator(_json_object)]


class OperatorSettings(S3Settings, DatabaseSettings, NetworkSettings, WebhookSettings, RetentionSettings):
    """What is watched, and how jobrunner pods look."""

    namespaces: Annotated[
        str, Field(min_length=1, description="The namespaces whose ImageBatches are run, comma-separated.")
    ]
    jobrunner_image: Annotated[str, Field(min_length=1, description="The jobrunner's container image.")]
    jobrunner_image_pull_policy: Annotated[
        Literal["Always", "IfNotPresent", "Never"], Field(description="When that image is pulled.")
    ] = "IfNotPresent"
    jobrunner_service_account: Annotated[
        str, Field(description="The ServiceAccount of jobrunner pods, the same name in every namespace.")
    ] = "default"
    jobrunner_s3_secret: Annotated[
        str,
        Field(
            description="The Secret, in each namespace, whose `accessKey` and `secretKey` jobrunners use; "
            "without it they use the identity that the cloud gives their pods."
        ),
    ] = ""
    jobrunner_pod: Annotated[
        JsonObject,
        Field(description=f"How jobrunner pods differ: a JSON object of {', '.join(sorted(POD_FIELDS))}."),
    ] = {}  # noqa: RUF012 - pydantic copies it
    jobrunner_env: Annotated[
        JsonObject, Field(description="More settings of jobrunners: a JSON object of variables and values.")
    ] = {}  # noqa: RUF012
    operator_host: Annotated[
        str, Field(description="The address on which health and metrics are served.")
    ] = "127.0.0.1"
    operator_port: Annotated[int, Field(ge=0, le=65535, description="The port for them.")] = 8080
    public_url: Annotated[
        str,
        Field(
            description="The API's address for clients, for links to private CSVs; without it the object's "
            "status has the links' paths only."
        ),
    ] = ""
    max_source_bytes: Annotated[
        int, Field(ge=1, description="The largest CSV that is read from a source, in bytes.")
    ] = GIB
    source_seconds: Annotated[
        float, Field(gt=0, description="The time to download a CSV from a source's URL, in seconds.")
    ] = 600.0
    max_rows: Annotated[int, Field(ge=1, description="The most rows of a CSV.")] = Limits().max_rows
    log_level: Annotated[
        str, Field(pattern="^(debug|info|warning|error)$", description="What is logged.")
    ] = "info"

    @field_validator("jobrunner_pod")
    @classmethod
    def _knows_its_fields(cls, value: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(value.keys() - POD_FIELDS)
        if unknown:
            raise ValueError(f"unknown: {', '.join(unknown)}; known are {', '.join(sorted(POD_FIELDS))}")
        return value

    @property
    def watched(self) -> tuple[str, ...]:
        return tuple(name for name in (part.strip() for part in self.namespaces.split(",")) if name)
