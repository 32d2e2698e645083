"""One process at a time deals with the cluster of this machine.

The lock is a Unix socket with a name that is not in the file system: the kernel takes it away with its holder,
and tells whoever finds it taken who that is.
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from imagebatch_testing.cluster.errors import BusyError
from imagebatch_testing.cluster.layout import NAME

_ADDRESS = f"\0{NAME}"
_CREDENTIALS = struct.Struct("3i")


@contextmanager
def held() -> Iterator[None]:
    """Hold the lock. Raises BusyError, which names the process that has it."""
    with socket.socket(socket.AF_UNIX) as lock:
        try:
            lock.bind(_ADDRESS)
        except OSError:
            raise BusyError(f"the test cluster of this machine is in use by {_holder()}") from None
        lock.listen()
        yield


def _holder() -> str:
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(_ADDRESS)
        except OSError:
            return "a process that is ending"
        peer = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return f"process {_CREDENTIALS.unpack(peer)[0]}"
