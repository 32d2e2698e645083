"""Where the test cluster's things are: folders, addresses and names. Everything else of this package asks here."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[4]
SOURCES = REPOSITORY / "tests" / "e2e" / "cluster"
"""The Go programs of the cluster, and kind's configuration."""

WORK = Path("/var/tmp/imagebatch-e2e")
"""What the running cluster writes. One machine runs one cluster, so its place is fixed; `down` removes it."""

NAME = "imagebatch-e2e"
"""The cgroup of the pods, the context of the kubeconfig, the mark of the node's process, the name in kind."""

MEMBERS = ("api", "operator", "jobrunner")
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Addresses:
    """The network between this machine and the node, and the ones inside the cluster."""

    host: str = "10.44.0.254"
    node: str = "10.44.0.1"
    kubernetes: str = "10.43.0.1"
    services: str = "10.43.0.0/16"
    pods: str = "10.42.0.0/16"


@dataclass(frozen=True, slots=True)
class Node:
    """The one node."""

    name: str = NAME
    device: str = "ib-e2e"
    """This machine's end of the cable to the node."""

    addresses: Addresses = Addresses()


def cache() -> Path:
    """What outlives a cluster: programs and images that were built once."""
    folder = os.environ.get("IMAGEBATCH_E2E_CACHE") or Path.home() / ".cache" / "imagebatch-e2e"
    return Path(folder).absolute()


def digest(*parts: str | bytes) -> str:
    """A short name for content."""
    known = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        known.update(len(data).to_bytes(8) + data)
    return known.hexdigest()[:12]


_LEFT_BY_BUILDS = {"__pycache__", "target"}


def digest_of_files(*paths: Path) -> str:
    """The same for files and whole folders, without what Python and builds leave there."""
    parts: list[str | bytes] = []
    for path in paths:
        for file in sorted([path] if path.is_file() else path.rglob("*")):
            if file.is_file() and not _LEFT_BY_BUILDS & set(file.parts) and file.suffix != ".so":
                parts += [str(file.relative_to(path.parent)), file.read_bytes()]
    return digest(*parts)
