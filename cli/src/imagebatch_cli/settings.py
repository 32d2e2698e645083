"""What the environment says to the local system."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from imagebatch import settings
from imagebatch.settings import NetworkSettings, RetentionSettings, WebhookSettings


class LocalSettings(NetworkSettings, WebhookSettings, RetentionSettings):
    """The local system's own settings; S3 and Postgres are chosen by their own variables."""

    data: Annotated[Path, Field(description="The data folder.")] = Path(".imagebatch")
    server: Annotated[
        str,
        Field(
            description="The API that commands talk to. Where it is not set, the one of the data folder "
            "comes first, if it runs."
        ),
    ] = "http://127.0.0.1:8080"
    token: Annotated[SecretStr, Field(description="The token for that API, where it asks for one.")] = (
        SecretStr("")
    )
    examples_port: Annotated[
        int,
        Field(
            ge=0, le=65_535, description="Where `up` serves the example images on loopback; 0 for nowhere."
        ),
    ] = 8091
    shards_at_once: Annotated[
        int, Field(ge=1, le=64, description="How many jobrunners run at once, over all batches.")
    ] = 2
    log_level: Annotated[str, Field(description="What is logged: debug, info, warning or error.")] = "info"


def own_s3() -> settings.S3Settings | None:
    """The user's own S3, if IMAGEBATCH_S3_BUCKET is set. Raises SettingsError."""
    return settings.read(settings.S3Settings) if os.environ.get("IMAGEBATCH_S3_BUCKET") else None


def own_database() -> settings.DatabaseSettings | None:
    """The user's own Postgres, if DATABASE_URL is set. Raises SettingsError."""
    return settings.read(settings.DatabaseSettings) if os.environ.get("DATABASE_URL") else None
