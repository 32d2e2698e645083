"""What a running cluster has noted about itself: its programs and its images."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import psutil

from imagebatch_testing.cluster.images import Image


@dataclass(frozen=True, slots=True)
class Running:
    """A program of the node. A process id may be given again; together with the time it is unique."""

    name: str
    pid: int
    created: float

    def lives(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.created and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@dataclass(frozen=True, slots=True)
class State:
    programs: Sequence[Running] = field(default_factory=tuple)
    images: Sequence[Image] = field(default_factory=tuple)


def read(path: Path) -> State:
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        return State()
    return State(
        tuple(Running(**program) for program in values["programs"]),
        tuple(Image(**image) for image in values["images"]),
    )


def add_program(path: Path, name: str, pid: int) -> None:
    state = read(path)
    _write(
        path,
        replace(state, programs=(*state.programs, Running(name, pid, psutil.Process(pid).create_time()))),
    )


def set_images(path: Path, images: Sequence[Image]) -> None:
    _write(path, replace(read(path), images=tuple(images)))


def _write(path: Path, state: State) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(state), indent=2))
    fresh.replace(path)
