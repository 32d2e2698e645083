"""Which statuses may change when a request is tried again: one table for images and CSV sources."""

TEMPORARY = frozenset({408, 425, 429, 500, 502, 503, 504, *range(520, 525), 527, 529, 530})
"""RFC 9110, RFC 8470 (425), and Cloudflare's for a host that it can't reach (52x, 530)."""

ASKS_FOR_QUIET = frozenset({429, 503})
"""With Retry-After these ask for a pause (RFC 6585 section 4, RFC 9110 section 15.6.4)."""
