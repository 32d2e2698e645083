"""What the browser lets the page load: its own files, answers of its server, and others' pictures."""

from collections.abc import Mapping

RULES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
PICTURES = "'self' http: https:"
"""Of a batch's page: its pictures are on S3 and whatever hosts the catalogue names. They see no referrer."""


def headers(*, pictures: bool) -> Mapping[str, str]:
    """The headers of a page. `pictures` allows those of any host.

    With `no-referrer` browsers would say `Origin: null` of the page's own forms, as of a foreign page's.
    """
    rules = {**RULES, "img-src": PICTURES} if pictures else RULES
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in rules.items()),
        "Referrer-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
