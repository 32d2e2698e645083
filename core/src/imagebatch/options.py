"""How images are to be compressed: one class for the upload form, the object's spec and the CLI.

`Compression.parse` is the only validation; each edge passes what its user wrote, by the names of the
object's spec (`minQuality`), and gets the same errors.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, cast, get_args

from imagebatch.errors import InputRefusedError, Problem

Format = Literal["auto", "keep", "jpeg", "png", "webp", "avif"]

_QUALITY = re.compile(r"(100|[1-9][0-9]?)(%?)")
MAX_SIDE = 65_535
"""Pixels: the longest side of a JPEG, whose header has 16 bits for it."""
MAX_TARGET_BYTES = 999_999_999
"""Nine digits, as many as `_integer` reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """The options of one batch.

    `quality` is either relative (`"50%"`: that part of the source's own estimated quality) or absolute
    (`"60"`), on libjpeg's scale. `min_quality` is the floor below which a relative quality never falls; 0
    takes the per cent literally. `max_width` and `max_height` are pixels, None for no bound; images are
    only ever made smaller. `target_bytes` is how long a stored file should be at most: where it is longer,
    its quality is lowered further, but not below `min_quality`.
    """

    quality: str = "50%"
    min_quality: int = 30
    target_bytes: int | None = None
    format: Format = "auto"
    max_width: int | None = None
    max_height: int | None = None
    strip_metadata: bool = True
    progressive: bool = False
    optimize: bool = False

    @property
    def is_relative(self) -> bool:
        return self.quality.endswith("%")

    @property
    def quality_number(self) -> int:
        """The number in `quality`: per cent when relative, libjpeg's scale when absolute."""
        return int(self.quality.rstrip("%"))

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> "Compression":
        """Read options by their spec names; values may be text, as in a form. Raises InputRefusedError."""
        problems: list[Problem] = []
        values: dict[str, Any] = {}
        for name, value in given.items():
            try:
                field, read = _READERS[name]
                values[field] = read(value)
            except KeyError:
                known = ", ".join(_READERS)
                problems.append(Problem("unknown_option", f"there is no option {name!r}; known are {known}"))
            except ValueError as error:
                problems.append(Problem("invalid_option", f"{name}: {error}"))
        if problems:
            raise InputRefusedError(problems)
        return cls(**values)

    def as_spec(self) -> dict[str, Any]:
        """The options by their spec names, without those that have no value; `parse` reads it back."""
        values = {name: getattr(self, field) for name, (field, _) in _READERS.items()}
        return {name: value for name, value in values.items() if value is not None}


def _quality(value: object) -> str:
    text = str(value).strip()
    if not _QUALITY.fullmatch(text):
        raise ValueError(f"{text!r} is not a quality; write 50% for half the source's, or 1 to 100")
    return text


def _integer(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        text = str(value).strip()
        if isinstance(value, bool) or not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"{text!r} is not a whole number from {low} to {high}")
        return int(text)

    return read


def _format(value: object) -> Format:
    text = str(value).strip().lower()
    if text not in get_args(Format):
        raise ValueError(f"{text!r} is not one of {', '.join(get_args(Format))}")
    return cast(Format, text)


def _boolean(value: object) -> bool:
    text = str(value).strip().lower()
    if text not in {"true", "false"}:
        raise ValueError(f"{text!r} is not true or false")
    return text == "true"


_READERS: dict[str, tuple[str, Callable[[object], Any]]] = {
    "quality": ("quality", _quality),
    "minQuality": ("min_quality", _integer(0, 100)),
    "targetBytes": ("target_bytes", _integer(1, MAX_TARGET_BYTES)),
    "format": ("format", _format),
    "maxWidth": ("max_width", _integer(1, MAX_SIDE)),
    "maxHeight": ("max_height", _integer(1, MAX_SIDE)),
    "stripMetadata": ("strip_metadata", _boolean),
    "progressive": ("progressive", _boolean),
    "optimize": ("optimize", _boolean),
}
assert {field for field, _ in _READERS.values()} == {field.name for field in fields(Compression)}

OPTION_NAMES = tuple(_READERS)
"""The options by the names that users write."""
