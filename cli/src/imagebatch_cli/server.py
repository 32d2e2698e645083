"""Which API a command talks to, and how its client is made."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imagebatch_cli.data_folder import LOOPBACK, DataFolder
from imagebatch_client import AsyncClient

if TYPE_CHECKING:
    from imagebatch_cli.settings import LocalSettings


@dataclass(frozen=True, slots=True)
class Server:
    """An API, and the token for it; `""` for none."""

    url: str
    token: str = field(default="", repr=False)

    def client(self) -> AsyncClient:
        return AsyncClient(self.url, self.token)


def local_settings() -> "LocalSettings":
    from imagebatch import settings  # noqa: PLC0415 - they take a third of a second: each Tab would wait for them
    from imagebatch_cli.settings import LocalSettings  # noqa: PLC0415

    return settings.read(LocalSettings)


def data_folder(local: "LocalSettings", data: Path | None = None) -> DataFolder:
    return DataFolder((data or local.data).expanduser().resolve())


def chosen(url: str | None, token: str | None) -> Server:
    """The server that is named; else the one on the data folder, if it runs; else the usual one."""
    return named(url, token) or running(token) or Server(local_settings().server, _token(token))


def named(url: str | None, token: str | None) -> Server | None:
    """The server that the command line or the environment names, if either does."""
    local = local_settings()
    if url is None and "server" not in local.model_fields_set:
        return None
    return Server(url or local.server, _token(token))


def running(token: str | None = None) -> Server | None:
    """The system that runs on the data folder of the settings, if one does."""
    folder = data_folder(local_settings())
    if not folder.is_locked():
        return None
    port = folder.read().api_port
    return Server(f"http://{LOOPBACK}:{port}", _token(token)) if port else None


def _token(given: str | None) -> str:
    return local_settings().token.get_secret_value() if given is None else given
