"""The data folder of the local system: locked, with the ports and keys that were chosen once.

DIR/lock              held while a system runs here
DIR/system.json       ports, S3 keys, the process ids of what was started
DIR/postgres/         the database
DIR/s3/               the objects
DIR/s3-identity.json  the S3 keys, as the embedded S3 reads them
DIR/sockets/          how Postgres is reached (elsewhere, if this path is too long for sockets)
DIR/logs/             one log a process
"""

import contextlib
import fcntl
import hashlib
import itertools
import json
import os
import random
import secrets
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from imagebatch.errors import ImageBatchError

LOOPBACK = "127.0.0.1"
SERVICE_PORTS = ("s3", "s3_grpc", "master", "master_grpc", "volume", "volume_grpc", "filer", "filer_grpc")
MAX_SOCKET_FOLDER_BYTES = 85


class FolderBusyError(ImageBatchError):
    """Another system runs on this folder."""


class FolderUnusableError(ImageBatchError):
    """The folder, or what is in it, can't be used."""


@dataclass(slots=True)
class SystemFile:
    """What DIR/system.json says. `ports` are by service, `pids` by process name; `engine` names the engine
    that runs here among those that share a database.
    """

    api_port: int = 0
    engine: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    s3_access_key: str = ""
    s3_secret_key: str = ""
    pids: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DataFolder:
    """One data folder. Its methods that write need the lock."""

    path: Path

    @property
    def logs(self) -> Path:
        return self._made("logs")

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def sockets(self) -> Path:
        """A folder whose path is short enough for Unix sockets (about 100 bytes on all systems)."""
        if len(os.fsencode(self.path / "sockets")) <= MAX_SOCKET_FOLDER_BYTES:
            return self._made("sockets")
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        elsewhere = Path(tempfile.gettempdir()) / f"imagebatch-{os.getuid()}-{digest}"
        elsewhere.mkdir(exist_ok=True, mode=0o700)
        return elsewhere

    @property
    def objects(self) -> Path:
        return self._made("s3")

    def _made(self, name: str) -> Path:
        folder = self.path / name
        folder.mkdir(exist_ok=True, mode=0o700)
        return folder

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder; made if need be. Raises FolderBusyError when another system has it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o711)
            lock = (self.path / "lock").open("w")
        except OSError as error:
            raise FolderUnusableError(
                f"the data folder {self.path} can't be used: {error.strerror}"
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FolderBusyError(f"another imagebatch runs on {self.path}") from None
            yield

    def is_locked(self) -> bool:
        """Whether a system runs here now."""
        try:
            with (self.path / "lock").open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False  # there is none, or it can't be used: whoever locks it will say so
        return False

    def read(self) -> SystemFile:
        path = self.path / "system.json"
        known = {field.name for field in fields(SystemFile)}
        try:
            values: dict[str, Any] = json.loads(path.read_text())
            return SystemFile(**{name: value for name, value in values.items() if name in known})
        except FileNotFoundError:
            return SystemFile()
        except (ValueError, AttributeError, TypeError) as error:
            raise FolderUnusableError(
                f"{path} is damaged ({error}); it can't be guessed, restore it"
            ) from error
        except OSError as error:
            raise FolderUnusableError(
                f"the data folder {self.path} can't be used: {error.strerror}"
            ) from error

    def write(self, system: SystemFile) -> None:
        """Replace system.json in one step, readable by its owner only, for it holds keys."""
        fresh = self.path / "system.json.new"
        write_private(fresh, json.dumps(asdict(system), indent=2))
        fresh.replace(self.path / "system.json")

    def remember_api(self, port: int) -> None:
        """Note for others where the API of this folder is."""
        system = self.read()
        system.api_port = port
        self.write(system)

    def prepare(self) -> SystemFile:
        """Choose what is not chosen yet: keys once, ports once, or anew where one is taken by now."""
        system = self.read()
        system.engine = system.engine or secrets.token_hex(8)
        system.s3_access_key = system.s3_access_key or f"ib{secrets.token_hex(9)}"
        system.s3_secret_key = system.s3_secret_key or secrets.token_urlsafe(30)
        kept = [system.ports.get(name, 0) for name in SERVICE_PORTS]
        if not all(is_free(port) for port in kept):
            system.ports = dict(zip(SERVICE_PORTS, free_ports(len(SERVICE_PORTS)), strict=True))
        self.write(system)
        return system


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now; 0 is no port."""
    if not port:
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports that are free now, all different, below the range from which systems lend ports to clients."""
    candidates = random.sample(range(20_000, 30_000), 1_000)
    found = list(itertools.islice(filter(is_free, candidates), count))
    if len(found) < count:
        raise FolderBusyError(f"no {count} free ports between 20000 and 30000 on {LOOPBACK}")
    return found
