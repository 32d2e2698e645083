"""The exceptions of ImageBatch.

::

    ImageBatchError
    ├── InputRefusedError   the CSV, an option or a URL that a user gave is not usable; nothing was created
    ├── UnavailableError    something outside does not do its part now; a batch waits for it
    │   ├── StoreError          S3 did not do what was asked
    │   │   ├── NotFoundError       no such object
    │   │   ├── AlreadyExistsError  a conditional put found the object there
    │   │   ├── ThrottledError      S3 asks for fewer requests
    │   │   ├── StoreFullError      S3 has no room for more
    │   │   └── AccessDeniedError   the credentials or the policy do not allow it
    │   ├── OtherStoreError     the batch's objects are on another S3 than this program's
    │   └── RecordsError        Postgres did not do what was asked
    │       ├── BeingRemovedError   old results of the batch are being removed at this moment
    │       ├── OutcomeUnknownError the answer was lost; it may have been done
    │       └── ConflictError       the request id belongs to somebody else
    ├── FilesRemovedError   another attempt needs what was removed when its days were over
    ├── NotControlledError  only the batch's creator may change it, or nothing is left that could run it
    ├── AddressForbiddenError  an address that must not be dialled
    └── SettingsError       the environment is not usable; reported at start-up

A bad *image* is no exception but a result: see `imagebatch.outcome`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import ClassVar


class ImageBatchError(Exception):
    """Every error that ImageBatch raises on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with what a user gave, or worth a warning.

    `code` is stable and documented in docs/errors.md; `line` counts from 1 in the user's own file,
    None where the problem has no line.
    """

    code: str
    message: str
    line: int | None = None

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class InputRefusedError(ImageBatchError):
    """What the user gave is not usable. Carries the first problems (at most 100), never empty."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(_sentence(problem) for problem in self.problems[:3]))

    @classmethod
    def of(cls, code: str, message: str, line: int | None = None) -> "InputRefusedError":
        return cls([Problem(code, message, line)])


def _sentence(problem: Problem) -> str:
    return problem.message if problem.line is None else f"line {problem.line}: {problem.message}"


class UnavailableError(ImageBatchError):
    """Something outside does not do its part now. A batch that meets it waits, and tries again.

    `reason` is the word for it in the batch's status, in CamelCase.
    """

    reason: ClassVar[str]

    @property
    def is_worth_showing(self) -> bool:
        """Whether users should see it; False for what passes by itself at the next try."""
        return True


class StoreError(UnavailableError):
    """S3 did not do what was asked."""

    reason = "StoreUnavailable"


class NotFoundError(StoreError):
    """There is no such object."""


class AlreadyExistsError(StoreError):
    """A conditional put found the object there already."""


class ThrottledError(StoreError):
    """S3 asks for fewer requests, as a busy bucket does."""

    reason = "StoreThrottled"


class StoreFullError(StoreError):
    """S3 has no room for more: somebody has to make some."""

    reason = "StoreFull"


class AccessDeniedError(StoreError):
    """The credentials or the bucket's policy do not allow it."""


class OtherStoreError(UnavailableError):
    """The batch's objects are on another S3 than this program's."""

    reason = "OtherStore"

    def __init__(self) -> None:
        super().__init__("its files are on another S3 than this program's; run one that has that S3")


class RecordsError(UnavailableError):
    """Postgres did not do what was asked."""

    reason = "DatabaseUnavailable"


class OutcomeUnknownError(RecordsError):
    """The answer was lost: it may have been done. Clean up nothing after it, and look again."""


class BeingRemovedError(RecordsError):
    """Old results of the batch are being removed at this moment; soon it may be tried again."""


class ConflictError(RecordsError):
    """The request id belongs to somebody else."""


class FilesRemovedError(ImageBatchError):
    """Another attempt needs files that are no longer kept, `since` a day."""

    def __init__(self, since: datetime) -> None:
        super().__init__(
            f"the batch can't be tried again: the files that it needs were removed on {since:%Y-%m-%d}, when "
            "their days were over (keepDays); submit the CSV again"
        )


class NotControlledError(ImageBatchError):
    """Only the batch's creator may change it, or nothing is left that could run it."""


class AddressForbiddenError(ImageBatchError):
    """The address is one that ImageBatch does not dial for strangers; an administrator may open some."""

    def __init__(self, message: str, *, can_be_opened: bool = True) -> None:
        self.can_be_opened = can_be_opened
        super().__init__(message)


class SettingsError(ImageBatchError):
    """The environment is not usable; the message names the variable."""
