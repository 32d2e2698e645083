"""What the client raises.

ImageBatchError
├── NoAnswerError          the server could not be reached, or its answer broke off
├── UnexpectedAnswerError  what answered is no ImageBatch server, or one of another version
├── ApiError               the server answered with a problem
│   ├── UnauthorizedError  401: it wants a token, or another one
│   └── NotFoundError      404: there is no such batch, or not yet what was asked for
├── TokenError             the text given as a token can be none
├── WaitTimeoutError       the batch did not end in the time given; it goes on
└── SignatureError         a webhook was not signed with the secret, or is too old
"""

from imagebatch_client.documents import Problem


class ImageBatchError(Exception):
    """Any error of this client."""


class NoAnswerError(ImageBatchError):
    """There is no whole answer. Unless `was_sent` is False, what was asked may have been done."""

    def __init__(self, message: str, *, was_sent: bool) -> None:
        self.was_sent = was_sent
        super().__init__(message)


class UnexpectedAnswerError(ImageBatchError):
    """The answer is none that ImageBatch gives."""


class ApiError(ImageBatchError):
    """The server answered with a problem; `retry_after_s` is when it wants to be asked again."""

    def __init__(self, problem: Problem, retry_after_s: float | None = None) -> None:
        self.problem = problem
        self.retry_after_s = retry_after_s
        super().__init__(problem.detail or problem.title)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def code(self) -> str:
        """The code of the first thing that is wrong; programs match on it."""
        return self.problem.code


class UnauthorizedError(ApiError):
    """The server asks for a token, or does not know this one."""


class NotFoundError(ApiError):
    """There is no such batch, or it is another's, or it has not yet what was asked for."""


class TokenError(ImageBatchError):
    """The text given as a token can't be one."""


class WaitTimeoutError(ImageBatchError, TimeoutError):
    """The batch did not end in the time given; it goes on."""


class SignatureError(ImageBatchError):
    """The webhook was not signed with the secret, or is too old."""
