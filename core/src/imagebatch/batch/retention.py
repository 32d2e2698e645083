"""How long what a batch leaves is kept: by kind, by batch and by default. Pure, and read by every edge.

What is removed when that time is over, and by whom, is `collector`'s to say.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from imagebatch.errors import InputRefusedError, Problem

MAX_DAYS = 36_500.0
DAY_S = 86_400.0


class Kind(StrEnum):
    """What a batch leaves on S3. The first three have their days; a batch without them has the default's."""

    WORKING_FILES = "workingFiles"
    OUTPUTS = "outputs"
    IMAGES = "images"
    UNNAMED_IMAGES = "unnamedImages"
    """Images that no CSV names: of shards that were stopped before they wrote them down."""


KEPT_KINDS = (Kind.WORKING_FILES, Kind.OUTPUTS, Kind.IMAGES)
NEEDED_FOR_RETRY = (Kind.WORKING_FILES, Kind.IMAGES)
"""Another attempt reads its input and what the last one did; and its output names the images of that."""

Days: TypeAlias = "float | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepDays:
    """Days after a batch's end, by kind: 0 keeps for ever, None leaves it to the installation's default."""

    working_files: Days = None
    outputs: Days = None
    images: Days = None

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> "KeepDays":
        """Read days by the kinds' names; values may be text, as in a form. Raises InputRefusedError."""
        for name in given:
            if name not in _FIELDS:
                known = ", ".join(_FIELDS)
                raise InputRefusedError.of("unknown_option", f"keepDays has no {name!r}; known are {known}")
        return cls._read({f"keepDays.{name}": (_FIELDS[name], value) for name, value in given.items()})

    @classmethod
    def of_form(cls, form: Mapping[str, Any]) -> "KeepDays":
        """Read days by the upload's fields, beside which others may stand. Raises InputRefusedError."""
        return cls._read(
            {name: (_FIELDS[kind], form[name]) for name, kind in FORM_FIELDS.items() if name in form}
        )

    @classmethod
    def _read(cls, given: Mapping[str, tuple[str, object]]) -> "KeepDays":
        """By the names under which they were given: the field that each is, and its value."""
        problems: list[Problem] = []
        values: dict[str, float] = {}
        for name, (field, value) in given.items():
            try:
                values[field] = read_days(value)
            except ValueError as error:
                problems.append(Problem("invalid_option", f"{name}: {error}"))
        if problems:
            raise InputRefusedError(problems)
        return cls(**values)

    def as_spec(self) -> dict[str, float]:
        """The days by the kinds' names, without those that are left to the default."""
        values = {name: getattr(self, field) for name, field in _FIELDS.items()}
        return {name: value for name, value in values.items() if value is not None}

    def of(self, kind: Kind) -> Days:
        found: Days = getattr(self, _FIELDS[kind])
        return found


_FIELDS = {"workingFiles": "working_files", "outputs": "outputs", "images": "images"}
assert tuple(_FIELDS) == KEPT_KINDS

FORM_FIELDS = {
    "keepWorkingFilesDays": Kind.WORKING_FILES,
    "keepOutputsDays": Kind.OUTPUTS,
    "keepImagesDays": Kind.IMAGES,
}
"""The fields of an upload."""


def read_days(value: object) -> float:
    """Days from a number or its text; a whole number of them stays one. Raises ValueError."""
    text = str(value).strip()
    try:
        days = math.nan if isinstance(value, bool) or len(text) > 20 else float(text)
    except ValueError:
        days = math.nan
    if not 0 <= days <= MAX_DAYS:
        raise ValueError(f"{text[:40]!r} is not a number of days from 0 to {MAX_DAYS:g}; 0 keeps for ever")
    return days


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What an installation keeps, and how old what nobody owns has to be before it goes: 0 leaves it."""

    keep: KeepDays
    orphan_days: float = 0.0

    def default_days(self, kind: Kind) -> float:
        """The days that count for batches without their own; 0 for ever."""
        return self.orphan_days if kind is Kind.UNNAMED_IMAGES else self.keep.of(kind) or 0.0


@dataclass(frozen=True, slots=True)
class Amount:
    """So many objects, so many bytes."""

    objects: int = 0
    bytes: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.objects + other.objects, self.bytes + other.bytes)

    def without(self, other: "Amount") -> "Amount":
        return Amount(self.objects - other.objects, self.bytes - other.bytes)

    def __bool__(self) -> bool:
        return self.objects > 0
