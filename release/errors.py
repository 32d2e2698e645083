"""What may go wrong with a release."""


class ReleaseError(Exception):
    """There is no release; the message says in one line what to do."""
