"""The own cluster: Kubernetes of one node, made of Go modules and Debian packages, without Docker."""

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from imagebatch_testing.cluster import components, images, machine, pki, prerequisites, programs, state
from imagebatch_testing.cluster.access import Cluster
from imagebatch_testing.cluster.command import run, succeeds, tail, until
from imagebatch_testing.cluster.components import Component, Place
from imagebatch_testing.cluster.errors import ClusterError
from imagebatch_testing.cluster.images import Image
from imagebatch_testing.cluster.layout import WORK, Node
from imagebatch_testing.cluster.programs import Program

PLACE = Place(WORK, Node())
IMPORT_S = 300.0


def build() -> dict[str, Image]:
    """Everything that is kept in the cache."""
    prerequisites.check()
    for program in (*_node_programs(), programs.tool("helm")):
        program.build()
    return images.build_all()


def up(*, with_us: bool) -> None:
    """Start it, after clearing away what an earlier one left. `with_us`: it ends when this process does."""
    built = build()
    machine.clear(PLACE)
    try:
        _start(built, with_us=with_us)
    except BaseException:
        machine.clear(PLACE)
        raise


def down() -> None:
    machine.clear(PLACE)


def load() -> None:
    """Build the images again and bring them into the running cluster."""
    check()
    _import(build())


@contextmanager
def running() -> Iterator[Cluster]:
    """One that runs already is used and left; else one is started, and ended with the block or this process.

    In CI it is always a new one: what an earlier one holds must not decide how the tests go.
    """
    is_new = prerequisites.in_ci() or not is_running()
    if is_new:
        up(with_us=True)
    else:
        load()
    try:
        yield access()
    finally:
        if is_new:
            down()


def access() -> Cluster:
    references = {name: image.reference for name, image in loaded().items()}
    helm = programs.tool("helm").build()
    kubeconfig = PLACE.kubeconfig("admin")
    host = PLACE.node.addresses.host
    return Cluster(kubeconfig, tuple(kubectl()), helm, references, host, Containerd(), PLACE.audit)


class Containerd:
    """The node's containerd."""

    def signal(self, container_id: str, name: str) -> None:
        run(*containerd("tasks", "kill", "--signal", name, container_id))

    def tag(self, reference: str, new: str) -> None:
        run(*containerd("images", "tag", "--force", reference, new))


def is_running() -> bool:
    return machine.first_process() is not None


def check() -> None:
    """Raise ClusterError with the end of the log of a program that does not run any more."""
    if not is_running():
        raise ClusterError("no test cluster runs on this machine")
    for program in state.read(PLACE.state).programs:
        if not program.lives():
            log = PLACE.log(program.name).read_text(errors="replace")
            raise ClusterError(f"{program.name} ended; the end of its log:\n{tail(log)}")


def loaded() -> dict[str, Image]:
    """The images in the running cluster."""
    return {image.name: image for image in state.read(PLACE.state).images}


def kubectl(*words: str) -> list[str]:
    return [str(PLACE.program("kubernetes")), "kubectl", f"--kubeconfig={PLACE.kubeconfig('admin')}", *words]


def containerd(*words: str | Path) -> list[str]:
    """The command that asks containerd something, in the node, for that is where its mounts are."""
    ctr = ["ctr", "--address", str(PLACE.containerd), "--namespace", "k8s.io"]
    return [*machine.inside(), *ctr, *map(str, words)]


def _start(built: Mapping[str, Image], *, with_us: bool) -> None:
    WORK.mkdir(mode=0o711)
    _copy_programs()
    pki.write(PLACE.pki, PLACE.node)
    components.write_configuration(PLACE, built["pause"].reference)
    machine.start(PLACE, with_us=with_us)
    _launch(components.foundations(PLACE))
    _until("containerd answers", lambda: succeeds(*containerd("version")))
    _import(built)
    _until("the API server is ready", lambda: succeeds(*kubectl("get", "--raw", "/readyz")))
    _launch(components.followers(PLACE))
    _until("the node is ready", _node_is_ready)
    _until("pods may be made", lambda: succeeds(*kubectl("get", "serviceaccount", "default")))
    _until("names are resolved", _dns_listens)


def _node_programs() -> tuple[Program, ...]:
    return programs.kubernetes(), programs.coredns(), programs.policies()


def _copy_programs() -> None:
    (WORK / "programs").mkdir()
    for program in _node_programs():
        shutil.copy(program.path, PLACE.program(program.name))


def _launch(started: list[Component]) -> None:
    for component in started:
        process = machine.launch(PLACE, component)
        state.add_program(PLACE.state, component.name, process.pid)


def _until(what: str, holds: Callable[[], bool]) -> None:
    """Wait, and end early when a program has ended."""

    def holds_or_failed() -> bool:
        check()
        return holds()

    try:
        until(what, holds_or_failed)
    except ClusterError as error:
        raise ClusterError(f"{error}\n{_ends_of_logs()}") from error


def _ends_of_logs() -> str:
    logs = sorted((WORK / "log").glob("*.log"))
    return "\n".join(f"--- {log.stem}\n{tail(log.read_text(errors='replace'), 5)}" for log in logs)


def _node_is_ready() -> bool:
    ready = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    try:
        return run(*kubectl("get", "node", PLACE.node.name, "--output", ready)) == "True"
    except ClusterError:
        return False


def _dns_listens() -> bool:
    """CoreDNS listens when it knows the services."""
    try:
        socket.create_connection((PLACE.node.addresses.node, 53), timeout=1).close()
    except OSError:
        return False
    return True


def _import(built: Mapping[str, Image]) -> None:
    known = state.read(PLACE.state).images
    for image in built.values():
        if image not in known:
            _stream(image)
    state.set_images(PLACE.state, list(built.values()))


def _stream(image: Image) -> None:
    """From buildah into containerd, which skips the layers that it has."""
    with subprocess.Popen(images.export(image), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as source:
        imported = subprocess.run(
            containerd("images", "import", "-"), stdin=source.stdout, timeout=IMPORT_S, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
    if imported.returncode or source.returncode:
        raise ClusterError(f"{image.reference} could not be imported:\n{tail(imported.stderr)}")
