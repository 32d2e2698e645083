"""Which cluster the tests run on: a given one, kind where there is Docker, or our own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from imagebatch_testing.cluster import given, kind, lock, own
from imagebatch_testing.cluster.access import Cluster


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A running cluster. Raises UnavailableError with one line when this machine can't have one.

    One that runs already gets the images of today, and is left running.
    """
    if os.environ.get(given.KUBECONFIG):
        yield given.cluster()
        return
    with lock.held():
        chosen = kind.running() if kind.has_docker() else own.running()
        with chosen as running:
            yield running
