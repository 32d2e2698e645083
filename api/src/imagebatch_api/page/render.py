"""The templates, and how numbers are written in them."""

from collections.abc import Mapping
from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import Response

from imagebatch_api.page import policy
from imagebatch_api.page.assets import Assets

UNITS = ("B", "kB", "MB", "GB", "TB")


class Templates:
    """Renders pages. `asks_token` is whether the server asks for tokens."""

    def __init__(self, assets: Assets, *, asks_token: bool) -> None:
        self._environment = Environment(
            loader=PackageLoader("imagebatch_api.page"),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "size": size,
            "count": count,
            "saved": saved,
            "change": change,
            "moment": moment,
            "duration": duration,
        }
        self._environment.globals |= {"asset": assets.path, "asks_token": asks_token}

    def page(
        self,
        name: str,
        status: int = 200,
        *,
        pictures: bool = False,
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> Response:
        """A page of HTML; `headers` are further ones."""
        html = self._environment.get_template(name).render(**values)
        every = {**policy.headers(pictures=pictures), **(headers or {})}
        return Response(html, status, every, media_type="text/html")


def size(bytes_: float | None) -> str:
    """Bytes as people read them: 12.3 kB."""
    if bytes_ is None:
        return "?"
    value, unit = float(bytes_), UNITS[0]
    for unit in UNITS:
        if abs(value) < 999.5 or unit == UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"


def count(number: float) -> str:
    """1,234,567."""
    return f"{number:,}"


def saved(out: float | None, of: float | None) -> str:
    """How much smaller `out` is than `of`: 61% smaller."""
    if not of or out is None:
        return "?"
    percent = round(100 * (1 - out / of))
    return f"{abs(percent)}% {'smaller' if percent >= 0 else 'larger'}"


def change(out: float | None, of: float | None) -> str:
    """The same as a number with its sign, a minus where it is smaller."""
    if not of or out is None:
        return "?"
    percent = round(100 * (out / of - 1))
    return f"{percent:+}%".replace("-", "\u2212") if percent else "0%"


def moment(text: str | None) -> str:
    """A time of the status document: 2026-03-01 12:00 UTC."""
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC" if text else ""


def duration(seconds: float) -> str:
    """1 h 5 min, 3 min 20 s, 12 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
