"""Which columns of a user's table hold what: as he says it, or as a shop's export is known to have it.

One class for the upload form, the command line and the object's `spec.source`; `header` finds the columns
in a file.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from imagebatch.errors import InputRefusedError, Problem

ROLES = ("serial", "name", "links")
OPTION_NAMES = ("columns", "preset", "inPlace")
"""By the names that users write."""

FORM = "serial=…,name=…,links=…"
_ROLE = re.compile(rf"(?:^|,)\s*({'|'.join(ROLES)})\s*=")


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The headers of the columns that hold the serial number, the product's name and the links.

    Only `links` must be there; several such columns of a row are read one after the other.
    """

    serial: str = ""
    name: str = ""
    links: tuple[str, ...] = ()

    @classmethod
    def parse(cls, given: object) -> "ColumnNames":
        """Read `serial=Handle,name=Title,links=Image Src+More`, or a mapping. Raises ValueError."""
        found = given if isinstance(given, Mapping) else _assigned(str(given))
        unknown = sorted(set(found) - set(ROLES))
        if unknown:
            raise ValueError(f"{unknown[0]!r} is none of {', '.join(ROLES)}")
        values = found.get("links", ())
        names = values.split("+") if isinstance(values, str) else values
        links = tuple(text for name in names if (text := str(name).strip()))
        if not links:
            raise ValueError("no column is named for links; write links=HEADER")
        return cls(str(found.get("serial", "")).strip(), str(found.get("name", "")).strip(), links)

    def as_spec(self) -> dict[str, Any]:
        named = {role: getattr(self, role) for role in ("serial", "name") if getattr(self, role)}
        return {**named, "links": list(self.links)}

    def __str__(self) -> str:
        """As a user writes it."""
        texts = (self.serial, self.name, "+".join(self.links))
        return ",".join(f"{role}={text}" for role, text in zip(ROLES, texts, strict=True) if text)


def _assigned(text: str) -> dict[str, str]:
    """The parts of `serial=A,name=B`. A header may hold commas: a part ends where the next role begins."""
    starts = list(_ROLE.finditer(text))
    if not starts or starts[0].start():
        raise ValueError(f"{text[:80]!r} names no columns; write {FORM}")
    ends = [*(start.start() for start in starts[1:]), len(text)]
    found: dict[str, str] = {}
    for start, end in zip(starts, ends, strict=True):
        if start[1] in found:
            raise ValueError(f"{start[1]} is named twice; join several columns of links with +")
        found[start[1]] = text[start.end() : end]
    return found


def _any_of(serials: Sequence[str], names: Sequence[str], *links: Sequence[str]) -> tuple[ColumnNames, ...]:
    """Every combination, the first of each first."""
    return tuple(ColumnNames(*one) for one in product(serials, names, map(tuple, links)))


PRESETS: Mapping[str, tuple[ColumnNames, ...]] = {
    "shopify": _any_of(["Handle", "URL handle"], ["Title"], ["Image Src"], ["Product image URL"]),
    "woocommerce": _any_of(["ID", "SKU"], ["Name"], ["Images"]),
    "magento": _any_of(["sku"], ["name"], ["base_image", "additional_images"], ["base_image"]),
    "prestashop": _any_of(
        ["Product ID", "ID", "Reference #", ""], ["Name *", "Name"], ["Image URLs (x,y,z...)"], ["Image"]
    ),
}
"""The columns' names in the shops' exports and import templates, from their public documentation. The first
entry whose columns a file has is taken. Shopify renamed its columns in 2025; PrestaShop's `Image` is its
product list's export.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnOptions:
    """What a user says of his columns; with nothing said, a file's header must say it by itself.

    `in_place` asks for the new links in the places of the old ones, too.
    """

    columns: ColumnNames | None = None
    preset: str | None = None
    in_place: bool = False

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> "ColumnOptions":
        """Read `columns`, `preset` and `inPlace`, if they are there. Raises InputRefusedError."""
        problems: list[Problem] = []
        columns = preset = None
        if given.get("columns"):
            try:
                columns = ColumnNames.parse(given["columns"])
            except ValueError as error:
                problems.append(Problem("invalid_option", f"columns: {error}"))
        if given.get("preset"):
            preset = str(given["preset"]).strip().lower()
            if preset not in PRESETS:
                message = f"preset: {preset[:80]!r} is not one of {', '.join(PRESETS)}"
                problems.append(Problem("invalid_option", message))
        if given.get("columns") and given.get("preset"):
            problems.append(Problem("invalid_option", "columns and preset are both given; give one of them"))
        in_place = str(given.get("inPlace") or "false").strip().lower()
        if in_place not in {"true", "false"}:
            problems.append(Problem("invalid_option", f"inPlace: {in_place[:80]!r} is not true or false"))
        if problems:
            raise InputRefusedError(problems)
        return cls(columns=columns, preset=preset, in_place=in_place == "true")

    def as_spec(self) -> dict[str, Any]:
        """What `parse` reads back, without what is not said."""
        said = {
            "columns": self.columns and self.columns.as_spec(),
            "preset": self.preset,
            "inPlace": self.in_place or None,
        }
        return {name: value for name, value in said.items() if value is not None}

    @property
    def alternatives(self) -> tuple[ColumnNames, ...]:
        """The columns to look for, in this order; the first that fit are taken. Empty if none is declared."""
        if self.preset is not None:
            return PRESETS[self.preset]
        return (self.columns,) if self.columns is not None else ()


UNDECLARED = ColumnOptions()
"""Nothing is said: the header must say it."""
