"""The web page at `/`: a form that works without a script, and a script that shows the progress."""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Page:
    html: str
    headers: Mapping[str, str]


def load() -> Page:
    """The page, under a policy that lets nothing run but its own style and script."""
    html = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    return Page(html, {"Content-Security-Policy": _policy(html), "Cache-Control": "no-cache"})


def _policy(html: str) -> str:
    rules = {
        "default-src": "'none'",
        "style-src": _source(html, "style"),
        "script-src": _source(html, "script"),
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _source(html: str, element: str) -> str:
    found = re.search(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
    assert found is not None
    digest = hashlib.sha256(found.group(1).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
