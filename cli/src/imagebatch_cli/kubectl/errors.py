"""What goes wrong with a cluster."""

from imagebatch.errors import ImageBatchError


class ClusterError(ImageBatchError):
    """The API server did not do what was asked. `status` is its HTTP status, 0 when it did not answer."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class KubeconfigError(ImageBatchError):
    """There is no usable kubeconfig."""


class UnansweredError(ClusterError):
    """No operator has answered in time what was asked of it."""

    def __init__(self, name: str, timeout_s: float) -> None:
        super().__init__(
            0,
            f"no operator has answered within {timeout_s:g} s: does one run that watches this namespace? "
            f"See `kubectl imagebatch why {name}`",
        )


class LinkError(ImageBatchError):
    """What a link of the operator leads to can't be had by it."""
