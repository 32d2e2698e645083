"""Why a host answers 403: some refuse programs that they don't know, others files that are private.

Used by `one_request`. The first is for the administrator to mend, the second for who owns the file.
"""

import re

import httpx

from imagebatch.net.http.encoding import is_encoded

_LOOKED_AT_BYTES = 4096
_PRIVATE = re.compile(
    rb"<Code>\s*(?:AccessDenied|AllAccessDisabled|SignatureDoesNotMatch|ExpiredToken)|MissingKey",
    re.IGNORECASE,
)
_POLICY = re.compile(
    rb"user[- ]?agent|\bro?bots?\b|automat|\bblocked\b|captcha|challenge|access denied|\bpolicy\b|crawl|"
    rb"scrap|just a moment|attention required|\bwaf\b|firewall|"
    rb"incapsula|ddos|hotlink|not a browser|javascript",
    re.IGNORECASE,
)
_GUARDS = ("cf-mitigated", "x-sucuri-block", "x-iinfo", "x-datadome", "x-px-block")
"""Headers of services that stand before hosts and turn programs away."""


def may_be_explained(response: httpx.Response) -> bool:
    return response.status_code == httpx.codes.FORBIDDEN and not is_encoded(response.headers)


def explained(response: httpx.Response, beginning: bytes) -> str:
    """Words to put behind the status; none where nothing is known."""
    if not may_be_explained(response):
        return ""
    if _PRIVATE.search(beginning[:_LOOKED_AT_BYTES]):
        return ": the file is private"
    is_guarded = any(name in response.headers for name in _GUARDS)
    if not is_guarded and not _POLICY.search(beginning[:_LOOKED_AT_BYTES]):
        return ""
    named = response.request.headers.get("User-Agent", "")
    return (
        f": the host seems to refuse programs that it does not know; ask it to let {named[:80]!a} in, "
        "or have IMAGEBATCH_USER_AGENT set to a name that it knows"
    )
