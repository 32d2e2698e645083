"""What the own cluster needs from the machine: Linux, root, Go, and some programs that Debian packages."""

import os
import shutil
import sys
from pathlib import Path

from imagebatch_testing.cluster.command import run
from imagebatch_testing.cluster.errors import UnavailableError
from imagebatch_testing.cluster.layout import SYSTEM_PATH

PACKAGES = {
    "buildah": "buildah",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "ctr": "containerd",
    "debootstrap": "debootstrap",
    "etcd": "etcd-server",
    "ip": "iproute2",
    "iptables": "iptables",
    "mount": "mount",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "runc": "runc",
    "setpriv": "util-linux",
    "tar": "tar",
    "unshare": "util-linux",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "/usr/lib/cni/portmap": "containernetworking-plugins",
}
"""The Debian package of each program."""

INSTALL_S = 600.0


def check() -> None:
    """Raise UnavailableError with the one line that says what is missing; install packages where we may."""
    if sys.platform != "linux":
        raise UnavailableError(f"the own cluster runs on Linux, this is {sys.platform}")
    if os.geteuid() != 0:
        raise UnavailableError("the own cluster needs root, for it makes namespaces and mounts")
    if go() is None:
        raise UnavailableError("the own cluster is built with Go, and there is no program go")
    if missing() and may_install():
        install(missing())
    if missing():
        raise UnavailableError(f"the own cluster needs: apt-get install {' '.join(missing())}")


def missing() -> list[str]:
    """The Debian packages of programs that are not here."""
    path = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    return sorted({package for name, package in PACKAGES.items() if shutil.which(name, path=path) is None})


def program(name: str, package: str) -> Path:
    """The path of a program that is no part of the cluster; its Debian package is installed where we may."""
    path = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    if shutil.which(name, path=path) is None and may_install():
        install([package])
    found = shutil.which(name, path=path)
    if found is None:
        raise UnavailableError(f"there is no program {name}: apt-get install {package}")
    return Path(found)


def may_install() -> bool:
    """Packages are installed only where the machine is there for tests, or on demand."""
    return in_ci() or os.environ.get("IMAGEBATCH_E2E_INSTALL") == "true"


def in_ci() -> bool:
    return os.environ.get("CI") == "true"


def go() -> str | None:
    return shutil.which("go") or shutil.which("go", path="/usr/local/go/bin:/usr/lib/go/bin")


def install(packages: list[str]) -> None:
    """Install Debian packages, where there is apt."""
    if shutil.which("apt-get") is None:
        return
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "update", timeout_s=INSTALL_S, env=env)
    run("apt-get", "install", "--yes", "--no-install-recommends", *packages, timeout_s=INSTALL_S, env=env)
