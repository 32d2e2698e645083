"""What the environment says, for the parts that every program shares. Read once, at start-up.

Each program has one class of its own that inherits from these; `read` turns what is wrong into one
SettingsError that names the variables. docs/settings.md lists all of them; a test holds that it does.
"""

from typing import Annotated, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from imagebatch.errors import SettingsError
from imagebatch.guard import AddressPolicy

PREFIX = "IMAGEBATCH_"


class Settings(BaseSettings):
    """Frozen, read from variables that begin with IMAGEBATCH_."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")


class S3Settings(Settings):
    """Where objects are stored. Without keys, the AWS chain is asked: environment, IRSA, instance role."""

    s3_endpoint: str = "https://s3.amazonaws.com"
    s3_region: str = "us-east-1"
    s3_bucket: str
    s3_access_key: str = ""
    s3_secret_key: SecretStr = SecretStr("")
    s3_session_token: SecretStr = SecretStr("")
    s3_addressing: Literal["auto", "path", "virtual"] = "auto"
    s3_public_url: str = ""
    s3_links: Literal["public", "presigned"] = "public"
    s3_link_seconds: Annotated[int, Field(ge=60, le=604_800)] = 604_800


class DatabaseSettings(Settings):
    """Where records are kept."""

    database_url: Annotated[SecretStr, Field(validation_alias="DATABASE_URL")]
    database_connections: Annotated[int, Field(ge=1, le=100)] = 10


class NetworkSettings(Settings):
    """Which closed addresses are opened for image links and webhooks."""

    allowed_networks: str = ""

    @property
    def address_policy(self) -> AddressPolicy:
        return AddressPolicy.parse(self.allowed_networks)


class WebhookSettings(Settings):
    """How webhooks are signed: a Standard Webhooks secret (`whsec_` and base64), or empty for none."""

    webhook_secret: SecretStr = SecretStr("")


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
