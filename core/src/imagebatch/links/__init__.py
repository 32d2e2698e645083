"""The links in a cell: where each entry ends, what is fetched for it, and which can't be fetched at all.

Ingest, jobrunner and merge all ask `split`, so that the n-th entry is the same one everywhere. What is
fetched for an entry is `read`'s to say; `check` judges a URL as it stands, such as a redirect's.
docs/csv.md shows the habits that are understood.
"""

from imagebatch.links.address import MAX_LINK_CHARS, BadLink, check, looks_like_link
from imagebatch.links.cell import begins_like_link, entries, is_placeholder, split
from imagebatch.links.plain import count_plain
from imagebatch.links.reading import Address, read
from imagebatch.links.text import trimmed, visible

__all__ = [
    "MAX_LINK_CHARS",
    "Address",
    "BadLink",
    "begins_like_link",
    "check",
    "count_plain",
    "entries",
    "is_placeholder",
    "looks_like_link",
    "read",
    "split",
    "trimmed",
    "visible",
]
