"""The data folder, and what a killed system left in it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from imagebatch_cli.data_folder import DataFolder, FolderBusyError, FolderUnusableError, free_ports, is_free
from imagebatch_cli.postgres import _remove_if_stale
from imagebatch_cli.processes import clear_leftover

SLEEP = [sys.executable, "-c", "import sys; sys.stdin.read()"]


def test_a_folder_is_held_by_one_system(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    assert not folder.is_locked()
    with folder.locked():
        assert folder.is_locked()
        with pytest.raises(FolderBusyError), folder.locked():
            pass
    assert not folder.is_locked()


def test_ports_and_keys_are_chosen_once(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    first, second = folder.prepare(), folder.prepare()
    assert (first.ports, first.s3_secret_key) == (second.ports, second.s3_secret_key)
    assert len(set(first.ports.values())) == 8


def test_the_file_with_keys_is_its_owners_alone(tmp_path: Path) -> None:
    DataFolder(tmp_path).prepare()
    assert (tmp_path / "system.json").stat().st_mode & 0o777 == 0o600


def test_a_port_in_use_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free(server.getsockname()[1])
    assert is_free(free_ports(1)[0])


@pytest.mark.parametrize("is_ours", [True, False])
def test_only_a_leftover_that_names_the_folder_is_ended(tmp_path: Path, is_ours: bool) -> None:
    folder = DataFolder(tmp_path)
    words = [*SLEEP, str(tmp_path)] if is_ours else SLEEP
    with subprocess.Popen(words, stdin=subprocess.PIPE) as process:
        system = folder.read()
        system.pids["s3"] = process.pid
        folder.write(system)
        clear_leftover(folder, "s3")
        assert psutil.pid_exists(process.pid) != is_ours or process.poll() is not None
        assert (process.poll() is None) == (not is_ours)
        assert folder.read().pids == {}
        process.kill()


def test_a_damaged_file_is_told_and_what_is_unknown_in_it_ignored(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    (tmp_path / "system.json").write_text('{"api_port": 7, "from_the_future": 1}')
    assert folder.read().api_port == 7
    (tmp_path / "system.json").write_text('{"api_port"')
    with pytest.raises(FolderUnusableError, match="damaged"):
        folder.read()


def test_a_folder_that_can_not_be_made_is_told() -> None:
    with pytest.raises(FolderUnusableError, match="can't be used"), DataFolder(Path("/proc/nope")).locked():
        pass


def test_sockets_have_a_short_path(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 180)
    long.mkdir()
    sockets = DataFolder(long).sockets
    assert len(str(sockets)) < 90
    assert sockets.stat().st_mode & 0o777 == 0o700
    sockets.rmdir()


@pytest.mark.parametrize("is_reaped", [True, False])
def test_the_lock_of_a_killed_postgres_is_removed_while_its_zombie_is_left(
    tmp_path: Path, is_reaped: bool
) -> None:
    lock = tmp_path / "postmaster.pid"
    process = subprocess.Popen(SLEEP, stdin=subprocess.PIPE)
    lock.write_text(f"{process.pid}\n/somewhere\n")
    _remove_if_stale(lock)
    assert lock.exists(), "it is alive"
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped
    if is_reaped:
        process.wait()
    _remove_if_stale(lock)
    assert lock.exists() == is_reaped, "Postgres itself deals with the lock of a process that is gone"
    process.communicate()
