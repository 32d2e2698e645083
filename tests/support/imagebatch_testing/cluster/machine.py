"""The node as Linux sees it: one process whose namespaces hold everything that the cluster starts.

`unshare` makes a process, a mount and a network namespace. The first process in there only waits; the node's
programs join it. When it is killed the kernel ends every process of the namespace, containers included, and
takes the mounts and the network away with the last of them. What remains for us are cgroups and a folder.
No file has to say what runs: the `unshare` process is found by its command line.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from imagebatch_testing.cluster.command import run, succeeds, until
from imagebatch_testing.cluster.components import ENVIRONMENT, Component, Place
from imagebatch_testing.cluster.errors import ClusterError
from imagebatch_testing.cluster.layout import NAME, Node
from imagebatch_testing.tied import tied

MARK = f"{NAME}-node"
CGROUPS = Path("/sys/fs/cgroup")
SYSCTLS = {
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
}
"""What a kubelet sets for the whole machine, unless it finds it so: here it does, in files that cover them."""

_FIRST_PROCESS = """\
set -eu
mount --make-rshared /
mount -t tmpfs none /run
mount -t tmpfs none /var/lib
mount --bind "$1/log" /var/log
cd "$1/sysctl"
find . -type f | while read name; do mount --bind "$name" "/proc/sys/$name"; done
cd /
ip link set lo up
exec env --ignore-signal=CHLD sleep infinity
"""
"""Folders to which programs write by fixed names are private to the node. Because
the first process ignores the end of its children, the kernel reaps them."""

END_S = 30.0
_started: list[subprocess.Popen[bytes]] = []
"""What this process started, to be reaped by it."""


def start(place: Place, *, with_us: bool) -> None:
    """Make the namespaces and the network. `with_us`: they end when this process does."""
    _make_cgroups()
    _write_sysctls(place.work / "sysctl")
    (place.work / "log").mkdir()
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
               "sh", "-c", _FIRST_PROCESS, MARK, str(place.work)]  # fmt: skip
    with place.log("node").open("wb") as log:
        process = subprocess.Popen(
            tied(command) if with_us else command,
            env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    _started.append(process)
    until("the node's first process", lambda: process.poll() is not None or first_process() is not None)
    if process.poll() is not None:
        raise ClusterError(f"the node ended at its start:\n{place.log('node').read_text()}")
    _lay_cable(place.node)


def launch(place: Place, component: Component) -> subprocess.Popen[bytes]:
    """Start one of the node's programs in the node."""
    with place.log(component.name).open("wb") as log:
        process = subprocess.Popen(
            [*inside(), *component.command], env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    _started.append(process)
    return process


def inside() -> list[str]:
    """What to write before a command that shall run in the node."""
    first = first_process()
    if first is None:
        raise ClusterError("no test cluster runs on this machine")
    return ["nsenter", "--target", str(first.pid), "--mount", "--net", "--pid", "--"]


def first_process() -> psutil.Process | None:
    """The process that holds the node's namespaces, when they are ready."""
    for holder in _holders():
        with suppress(psutil.NoSuchProcess):
            for child in holder.children():
                if child.name() == "sleep":
                    return child
    return None


def clear(place: Place) -> None:
    """End everything of this kind that runs, and remove every trace of it, also of a start that failed."""
    _end_processes()
    if _device(place.node).exists():
        succeeds("ip", "link", "delete", place.node.device)
    until(f"the device {place.node.device} is gone", lambda: not _device(place.node).exists(), END_S)
    until("the cgroups are empty", _remove_cgroups, END_S)
    until(f"{place.work} is gone", lambda: _remove(place.work), END_S)


def has_traces(place: Place) -> bool:
    """Whether there is anything to clear."""
    return bool(list(_holders()) or _device(place.node).exists() or list(_cgroups()) or place.work.exists())


def _holders() -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if MARK in process.cmdline():
                yield process


def _end_processes() -> None:
    """The kernel ends the whole namespace with its first process, and that one with its parent."""
    ending = [process for holder in _holders() for process in (holder, *holder.children())]
    joined = [process for first in ending for process in _joined(first.pid)]
    for process in ending:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _, alive = psutil.wait_procs([*ending, *joined], timeout=END_S)
    if alive:
        raise ClusterError(f"these processes of the node did not end: {alive}")
    while _started:
        _started.pop().wait(END_S)


def _joined(first: int) -> Iterator[psutil.Process]:
    """The processes outside that wait for one inside."""
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.cmdline()[:3] == ["nsenter", "--target", str(first)]:
                yield process


def _lay_cable(node: Node) -> None:
    """Connect this machine and the node, and nothing else: the node has no way to the world."""
    first = first_process()
    assert first is not None
    addresses, device = node.addresses, "node"
    run("ip", "link", "add", node.device, "type", "veth", "peer", "name", device, "netns", str(first.pid))
    run("ip", "address", "add", f"{addresses.host}/24", "dev", node.device)
    run("ip", "link", "set", node.device, "up")
    for words in (
        ("ip", "address", "add", f"{addresses.node}/24", "dev", device),
        ("ip", "link", "set", device, "up"),
        ("ip", "route", "add", addresses.services, "dev", device),
        ("ip", "route", "add", "unreachable", "default"),
        ("sysctl", "-qw", "net.ipv4.ip_forward=1"),
        ("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1"),
    ):
        run(*inside(), *words)


def _device(node: Node) -> Path:
    return Path("/sys/class/net") / node.device


def _write_sysctls(folder: Path) -> None:
    for name, value in SYSCTLS.items():
        if (Path("/proc/sys") / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"{value}\n")


def _make_cgroups() -> None:
    """One cgroup above those of all pods, in each hierarchy."""
    for hierarchy in _hierarchies():
        (hierarchy / NAME).mkdir(exist_ok=True)
    for setting in ("cpuset.cpus", "cpuset.mems"):
        if (CGROUPS / "cpuset" / setting).exists():
            (CGROUPS / "cpuset" / NAME / setting).write_text((CGROUPS / "cpuset" / setting).read_text())


def _hierarchies() -> list[Path]:
    """All of the old layout, or the single one of the new."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]


def _cgroups() -> Iterator[Path]:
    """Ours, the inner ones first."""
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / NAME, topdown=False):
            yield Path(folder)


def _remove_cgroups() -> bool:
    for folder in _cgroups():
        with suppress(OSError):
            folder.rmdir()
    return not list(_cgroups())


def _remove(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
