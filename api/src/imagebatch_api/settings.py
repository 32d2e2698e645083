"""What the environment says about the API. Read once, at start-up."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from imagebatch.csv.ingest import Limits
from imagebatch.errors import SettingsError
from imagebatch.settings import DatabaseSettings, NetworkSettings, S3Settings, Settings
from imagebatch_api.form import FormLimits
from imagebatch_api.server import HeadLimits
from imagebatch_api.tokens import TokenFile

LOOPBACK_NAMES = "localhost,127.0.0.1,[::1]"
GIB = 1024**3


class ApiSettings(Settings):
    """Where the API is served, for whom, and how much it takes."""

    public_url: Annotated[
        str,
        Field(description="The URL under which clients reach the API, if requests arrive under another one."),
    ] = ""
    api_tokens_file: Annotated[
        Path | None,
        Field(
            description="The file with the tokens that are accepted, a line each: `NAME:SHA256`, as "
            "`imagebatch token NAME` prints it. It is read again when it changes. Without it nobody is "
            "asked for a token."
        ),
    ] = None
    allow_anonymous: Annotated[
        bool,
        Field(
            description="Serve other machines without tokens: whoever reaches the API may upload, and "
            "list, read, change and delete every batch."
        ),
    ] = False
    max_upload_bytes: Annotated[int, Field(ge=1, description="The largest upload, in bytes.")] = GIB
    max_uploads: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="The most uploads at once, over all tokens.",
        ),
    ] = 8
    max_uploads_per_token: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="The most uploads at once with tokens of one name, so that one shop leaves room "
            "for the others.",
        ),
    ] = 4
    upload_idle_seconds: Annotated[
        float, Field(gt=0, description="An upload that sends nothing for so many seconds is ended.")
    ] = 60.0
    upload_seconds: Annotated[
        float, Field(gt=0, description="An upload that takes longer than so many seconds is ended.")
    ] = 3600.0
    header_seconds: Annotated[
        float,
        Field(
            gt=0,
            description="A connection that takes longer than this to send a request's headers is closed.",
        ),
    ] = 10.0
    max_header_bytes: Annotated[
        int, Field(ge=1024, le=1024 * 1024, description="The most bytes of a request's URL and headers.")
    ] = 32 * 1024
    max_form_fields: Annotated[
        int, Field(ge=1, le=1000, description="The most fields of a form, the file among them.")
    ] = 64
    max_field_bytes: Annotated[
        int, Field(ge=256, le=1024 * 1024, description="The most bytes of one field, other than the file.")
    ] = 8 * 1024
    max_watchers: Annotated[
        int,
        Field(
            ge=1,
            le=10_000,
            description="The most streams of events at once. Together, the streams of one batch cost one "
            "query of the database a second.",
        ),
    ] = 100
    max_rows: Annotated[int, Field(ge=1, description="The most rows of a CSV.")] = Limits().max_rows
    allowed_hosts: Annotated[
        str,
        Field(
            description="The names, comma-separated, that a request's Host header may carry; other names "
            "and pages of other sites are refused. `*` allows any name, and pages of any site."
        ),
    ] = LOOPBACK_NAMES

    @property
    def form_limits(self) -> FormLimits:
        return FormLimits(self.max_form_fields, self.max_field_bytes)

    @property
    def head_limits(self) -> HeadLimits:
        return HeadLimits(self.max_header_bytes, self.header_seconds)

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

    def check_access(self, api: ApiSettings) -> None:
        """Raise SettingsError when other machines could use the API without a token, and nobody said so.

        It does so too when the tokens file is not usable: at start-up, not only once Postgres answers.
        """
        if api.api_tokens_file is not None:
            TokenFile(api.api_tokens_file)
        if api.api_tokens_file is None and not api.allow_anonymous and not _is_loopback(self.api_host):
            raise SettingsError(
                f"there are no tokens, and IMAGEBATCH_API_HOST is {self.api_host}: whoever reaches it could "
                "upload, and read what others did. Set IMAGEBATCH_API_TOKENS_FILE to a file with lines that "
                "`imagebatch token NAME` prints; or, if something in front of it asks who is there, set "
                "IMAGEBATCH_ALLOW_ANONYMOUS=true"
            )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
