"""Settings: what is wrong is told with its variable."""

import pytest

from imagebatch import settings
from imagebatch.errors import SettingsError
from imagebatch.settings import DatabaseSettings, S3Settings


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(SettingsError, match="DATABASE_URL is not set"):
        settings.read(DatabaseSettings)


def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEBATCH_S3_BUCKET", "shop")
    monkeypatch.setenv("IMAGEBATCH_S3_LINKS", "secret")
    with pytest.raises(SettingsError, match="IMAGEBATCH_S3_LINKS"):
        settings.read(S3Settings)


def test_a_child_process_gets_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    made = S3Settings.model_validate({"s3_bucket": "shop", "s3_secret_key": "hush", "s3_links": "presigned"})
    for name, value in settings.as_env(made).items():
        monkeypatch.setenv(name, value)
    assert settings.read(S3Settings) == made


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hush@host/db")
    assert "hush" not in repr(settings.read(DatabaseSettings))
