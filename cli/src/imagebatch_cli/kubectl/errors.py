"""What goes wrong with a cluster."""

from imagebatch.errors import ImageBatchError


class ClusterError(ImageBatchError):
    """The API server did not do what was asked. `status` is its HTTP status, 0 when it did not answer."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class KubeconfigError(ImageBatchError):
    """There is no usable kubeconfig."""
