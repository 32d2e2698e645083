"""What a test can't do without: where it is missing the test is skipped with a line, in CI it fails."""

from pathlib import Path
from typing import NoReturn

import pytest

from imagebatch_testing.cluster import prerequisites, programs
from imagebatch_testing.cluster.errors import UnavailableError


def give_up(reason: object) -> NoReturn:
    (pytest.fail if prerequisites.in_ci() else pytest.skip)(str(reason))


def packaged(name: str, package: str) -> Path:
    """A program of a Debian package, which is installed where it may be."""
    try:
        return prerequisites.program(name, package)
    except UnavailableError as error:
        give_up(error)


def program(name: str) -> Path:
    """One of `programs.TOOLS`, built once by Go where there is one."""
    try:
        return programs.found(name)
    except UnavailableError as error:
        give_up(error)
