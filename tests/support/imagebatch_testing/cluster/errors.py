"""What may go wrong with the test cluster.

ClusterError
    UnavailableError   this machine can't run it; the message says in one line what is missing
    BusyError          another process uses it now
"""


class ClusterError(Exception):
    """The cluster did not do what it should; the message has the end of the log that says why."""


class UnavailableError(ClusterError):
    """Something that the cluster needs is not on this machine."""


class BusyError(ClusterError):
    """Another process holds the cluster."""
