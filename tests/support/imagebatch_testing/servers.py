"""The servers of the integration tests, as settings."""

from dataclasses import dataclass

from imagebatch.settings import DatabaseSettings, S3Settings


@dataclass(frozen=True)
class Servers:
    """A Postgres with our schema, and an S3 with our bucket."""

    database: DatabaseSettings
    s3: S3Settings
