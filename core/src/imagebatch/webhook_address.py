"""Which URLs a webhook may have: checked where a user names one, before anything is dialled."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from imagebatch import links
from imagebatch.errors import AddressForbiddenError, InputRefusedError
from imagebatch.net.guard import AddressPolicy

HOST = "[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?"
"""A host's name or IPv4 address by its characters; with underscores, which private networks have."""

_HOST = re.compile(HOST)


def check_url(url: str, policy: AddressPolicy) -> None:
    """Raise InputRefusedError when a webhook to `url` could never be sent, as far as the URL shows."""
    bad = links.check(url)
    if bad is not None:
        raise InputRefusedError.of("invalid_webhook_url", f"webhook_url: {bad.message}")
    parts = urlsplit(url)
    if ":" not in str(parts.hostname) and not _HOST.fullmatch(str(parts.hostname)):
        message = f"webhook_url: {parts.hostname!r} can't be a host's name; write it in ASCII (Punycode)"
        raise InputRefusedError.of("invalid_webhook_url", message)
    host = "127.0.0.1" if parts.hostname == "localhost" else str(parts.hostname)
    port = parts.port or (443 if parts.scheme.lower() == "https" else 80)
    try:
        policy.check(ip_address(host), port)
    except AddressForbiddenError as error:
        raise InputRefusedError.of(
            "forbidden_webhook_url",
            f"webhook_url: {error}{_how_to_open(error, host, port)}",
        ) from None
    except ValueError:
        return  # a name: it is checked when it is dialled


def _how_to_open(error: AddressForbiddenError, host: str, port: int) -> str:
    if not error.can_be_opened:
        return ""
    network = f"[{host}]" if ":" in host else host
    return f"; the administrator can open it with IMAGEBATCH_ALLOWED_NETWORKS={network}:{port}"
