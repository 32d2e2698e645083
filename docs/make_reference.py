"""Writes the tables of docs/settings.md and docs/errors.md from the code. A test holds that they are current.

Usage: python docs/make_reference.py
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from imagebatch.outcome import EXPLANATIONS
from imagebatch.settings import (
    DatabaseSettings,
    NetworkSettings,
    RetentionSettings,
    S3Settings,
    WebhookSettings,
    variable,
)
from imagebatch_api.settings import ApiSettings, ServerSettings
from imagebatch_cli.settings import LocalSettings
from imagebatch_jobrunner.settings import JobrunnerSettings
from imagebatch_operator.settings import OperatorSettings

HERE = Path(__file__).parent

SHARED = (S3Settings, DatabaseSettings, NetworkSettings, WebhookSettings, RetentionSettings)
GROUPS: dict[str, tuple[type[BaseSettings], ...]] = {
    "S3": (S3Settings,),
    "Postgres": (DatabaseSettings,),
    "Addresses": (NetworkSettings,),
    "Webhooks": (WebhookSettings,),
    "What is kept": (RetentionSettings,),
    "The API": (ApiSettings,),
    "The API on Kubernetes": (ServerSettings,),
    "The operator": (OperatorSettings,),
    "The local system and the command line": (LocalSettings,),
    "The jobrunner": (JobrunnerSettings,),
}

SETTINGS_HEAD = """# Settings

Every setting is an environment variable, read once at start-up; a wrong or missing one stops the program
with its name. The local system passes what concerns the jobrunner on to it.
"""
ERRORS_HEAD = """# Why an image failed

Every failed image has one of these codes in `errors.csv` (column `error_code`), beside a message in words.
The set is closed: programs may match on it. "Temporary" means that uploading `errors.csv` again may help
without any change.
"""


def settings_page() -> str:
    return "\n".join([SETTINGS_HEAD, *(line for title in GROUPS for line in _group(title))])


def _group(title: str) -> Iterator[str]:
    yield f"## {title}\n"
    yield "| variable | default | meaning |\n|---|---|---|"
    inherited = {name for shared in SHARED for name in shared.model_fields}
    for group in GROUPS[title]:
        for name, field in group.model_fields.items():
            if group in SHARED or name not in inherited:
                yield f"| `{variable(group, name)}` | {_default(field)} | {field.description} |"
    yield ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "computed"
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    return f"`{value}`" if isinstance(value, str | int | float | Path) and str(value) else ""


def errors_page() -> str:
    lines = ["| code | cause | temporary | what to do |", "|---|---|---|---|"]
    for code, explained in EXPLANATIONS.items():
        temporary = "yes" if explained.temporary else "no"
        lines.append(f"| `{code}` | {explained.cause} | {temporary} | {explained.advice} |")
    return "\n".join([ERRORS_HEAD, *lines, ""])


PAGES = {"settings.md": settings_page, "errors.md": errors_page}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page())
