"""What the environment says, for the parts that every program shares. Read once, at start-up.

Each program has one class of its own that inherits from these; `read` turns what is wrong into one
SettingsError that names the variables. docs/settings.md lists all of them; a test holds that it does.
"""

from typing import Annotated, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from imagebatch.batch.retention import MAX_DAYS, KeepDays, Policy
from imagebatch.errors import SettingsError
from imagebatch.net.guard import AddressPolicy

PREFIX = "IMAGEBATCH_"


class Settings(BaseSettings):
    """Frozen, read from variables that begin with IMAGEBATCH_."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")


class S3Settings(Settings):
    """Where objects are stored."""

    s3_bucket: Annotated[str, Field(min_length=1, description="The bucket. It must exist already.")]
    s3_endpoint: Annotated[str, Field(description="The service's URL.")] = "https://s3.amazonaws.com"
    s3_region: Annotated[str, Field(description="The bucket's region.")] = "us-east-1"
    s3_access_key: Annotated[
        str,
        Field(
            description="The access key. Without it the AWS chain is asked: AWS_ACCESS_KEY_ID, the "
            "credentials file, IRSA, the instance's role."
        ),
    ] = ""
    s3_secret_key: Annotated[SecretStr, Field(description="The secret key.")] = SecretStr("")
    s3_session_token: Annotated[SecretStr, Field(description="The session token of temporary keys.")] = (
        SecretStr("")
    )
    s3_addressing: Annotated[
        Literal["auto", "path", "virtual"],
        Field(description="How keys are addressed: `path`, `virtual` hosts, or `auto`: virtual on AWS only."),
    ] = "auto"
    s3_public_url: Annotated[
        str,
        Field(
            description="The URL under which clients find the bucket's keys, if not the endpoint's: a CDN."
        ),
    ] = ""
    s3_links: Annotated[
        Literal["public", "presigned"],
        Field(description="Whether links are plain, or signed for a time, for buckets that stay private."),
    ] = "public"
    s3_link_seconds: Annotated[
        int, Field(ge=60, le=604_800, description="How long presigned links answer, in seconds.")
    ] = 604_800


class DatabaseSettings(Settings):
    """Where records are kept."""

    database_url: Annotated[
        SecretStr, Field(validation_alias="DATABASE_URL", description="Postgres: postgresql://…")
    ]
    database_connections: Annotated[
        int, Field(ge=1, le=100, description="The most connections of one program.")
    ] = 10


class NetworkSettings(Settings):
    """Which closed addresses are opened for image links and webhooks."""

    allowed_networks: Annotated[
        str,
        Field(
            description="Addresses that are opened though they are closed by default (loopback, private, "
            "link-local …): `CIDR[:port]`, comma-separated, IPv6 with port as `[fd00::/8]:80`. Cloud "
            "metadata services stay closed."
        ),
    ] = ""

    @property
    def address_policy(self) -> AddressPolicy:
        return AddressPolicy.parse(self.allowed_networks)


class WebhookSettings(Settings):
    """How webhooks are signed."""

    webhook_secret: Annotated[
        SecretStr,
        Field(
            description="The Standard Webhooks secret, `whsec_` and base64; without it nothing is signed. "
            "Two with a space between sign both, while receivers change from one to the other."
        ),
    ] = SecretStr("")


_DAYS = "0 keeps them for ever. A batch may have days of its own (`keepDays`)."


class RetentionSettings(Settings):
    """How long what batches leave on S3 is kept."""

    keep_working_files_days: Annotated[
        float,
        Field(
            ge=0,
            le=MAX_DAYS,
            description="Days after a batch's end for which its working files are kept; without them it "
            f"can't be tried again. {_DAYS}",
        ),
    ] = 7.0
    keep_outputs_days: Annotated[
        float, Field(ge=0, le=MAX_DAYS, description=f"The same for its CSVs. {_DAYS}")
    ] = 0.0
    keep_images_days: Annotated[
        float, Field(ge=0, le=MAX_DAYS, description=f"The same for its images. {_DAYS}")
    ] = 0.0
    orphan_days: Annotated[
        float,
        Field(
            ge=0,
            le=MAX_DAYS,
            description="Days after which objects go that belong to no batch, images that no CSV names, and "
            "uploads to S3 that were never finished. More than the longest upload takes; 0 keeps them.",
        ),
    ] = 2.0

    @property
    def retention(self) -> Policy:
        keep = KeepDays(
            working_files=self.keep_working_files_days,
            outputs=self.keep_outputs_days,
            images=self.keep_images_days,
        )
        return Policy(keep=keep, orphan_days=self.orphan_days)


S = TypeVar("S", bound=BaseSettings)


def read(settings: type[S], **overrides: object) -> S:
    """Read `settings` from the environment. Raises SettingsError naming each variable that is wrong."""
    try:
        return settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = "; ".join(_explained(settings, dict(problem)) for problem in error.errors())
        raise SettingsError(lines) from None


def _explained(settings: type[BaseSettings], problem: dict[str, object]) -> str:
    location = problem["loc"]
    assert isinstance(location, tuple)
    if not location:
        return str(problem["msg"])  # of several variables, which it names itself
    name = variable(settings, str(location[0]))
    return f"{name}: {problem['msg']}" if problem["type"] != "missing" else f"{name} is not set"


def as_env(settings: BaseSettings) -> dict[str, str]:
    """The environment that gives a child process these settings; secrets are in it, in the clear."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    return {
        variable(type(settings), name): value.get_secret_value()
        if isinstance(value, SecretStr)
        else str(value)
        for name, value in values.items()
    }


def variable(settings: type[BaseSettings], field: str) -> str:
    """The environment variable of a settings field."""
    info = settings.model_fields.get(field)
    if info is None:
        return field
    alias = info.validation_alias
    return alias if isinstance(alias, str) else f"{PREFIX}{field.upper()}"
