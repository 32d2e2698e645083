"""What the environment says about the API. Read once, at start-up."""

from typing import Annotated

from pydantic import Field, field_validator

from imagebatch.settings import DatabaseSettings, NetworkSettings, S3Settings, Settings

LOOPBACK_NAMES = "localhost,127.0.0.1,[::1]"
GIB = 1024**3


class ApiSettings(Settings):
    """Where the API is served, for whom, and how much it takes."""

    public_url: Annotated[
        str,
        Field(description="Where clients reach the API, if that is not where they seem to call it: a proxy."),
    ] = ""
    max_upload_bytes: Annotated[int, Field(ge=1, description="The largest upload, in bytes.")] = GIB
    max_uploads: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="The most uploads at once. Each one with an Idempotency-Key holds a database "
            "connection, so keep it below IMAGEBATCH_DATABASE_CONNECTIONS.",
        ),
    ] = 8
    upload_idle_seconds: Annotated[
        float, Field(gt=0, description="An upload that sends nothing for so many seconds is ended.")
    ] = 60.0
    max_rows: Annotated[int, Field(ge=1, description="The most rows of a CSV.")] = 5_000_000
    allowed_hosts: Annotated[
        str,
        Field(
            description="The names, comma-separated, that a request's Host header may carry; other names "
            "and pages of other sites are refused. `*` allows any name, and pages of any site."
        ),
    ] = LOOPBACK_NAMES

    @field_validator("public_url")
    @classmethod
    def _is_url(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("not an http:// or https:// URL")
        return value.rstrip("/")

    @property
    def host_names(self) -> frozenset[str]:
        names = (name.strip().lower() for name in self.allowed_hosts.split(","))
        return frozenset(name for name in names if name)


class ServerSettings(S3Settings, DatabaseSettings, NetworkSettings):
    """How the API runs as a program of its own, on Kubernetes."""

    namespace: Annotated[
        str, Field(min_length=1, description="The namespace in which uploads become ImageBatches.")
    ]
    api_host: Annotated[str, Field(description="The address that is listened on.")] = "127.0.0.1"
    api_port: Annotated[int, Field(ge=0, le=65535, description="The port that is listened on.")] = 8080
    s3_create_bucket: Annotated[
        bool,
        Field(description="Create the bucket, and set its policy for anonymous readers, at start-up."),
    ] = False
    log_level: Annotated[
        str, Field(pattern="^(debug|info|warning|error)$", description="What is logged.")
    ] = "info"
