"""Which answers may be others later: the one table, for images and for a batch's CSV."""

TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 525), 527, 529, 530})
"""RFC 9110 and 8470, and what Cloudflare and its like answer for a host that they can't reach (52x, 530)."""

ASKS_FOR_QUIET = frozenset({429, 503})
"""With Retry-After these ask for a pause."""
