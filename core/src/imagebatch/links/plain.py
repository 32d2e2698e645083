"""Cells of links that nothing can be wrong with, known by one regular expression.

`entries` would make each link of such a cell one entry, without a doubt, and `read` would refuse none. Nearly
all cells are so, and to look is much cheaper than to read.
"""

import re

from imagebatch.links.cell import LINK_CHARS
from imagebatch.links.share import HINTS

_LABEL = "[A-Za-z0-9]{1,63}+"
_NO_SHARE = "".join(f"(?<!(?i:{re.escape(hint)}))" for hint in HINTS)
_REST = rf"(?::[0-9]{{1,4}}+)?+(?:[/?#][{LINK_CHARS}]{{0,4000}}+)?+"

LINK = rf"https?://{_LABEL}(?:[.-]{_LABEL}){{0,63}}+{_NO_SHARE}{_REST}"
"""A host without user and punycode (`xn--`) that shares no files, a port below 10,000 and a short rest."""

_CELL = re.compile(rf"{LINK}(?:[,;|] ?{LINK})*+")


def count_plain(cell: str) -> int:
    """How many links a plain cell has; 0 when it is not plain."""
    if not _CELL.fullmatch(cell):
        return 0
    return 1 + cell.count(",") + cell.count(";") + cell.count("|")
