"""The fields of an upload by the names of Python, and as the API's form has them."""

from collections.abc import Mapping
from typing import Literal, TypedDict


class Options(TypedDict, total=False):
    """What may be given beside the file; docs/api.md says what each means."""

    webhook_url: str
    columns: str
    preset: Literal["shopify", "woocommerce", "magento", "prestashop"]
    in_place: bool
    encoding: str
    quality: str | int
    min_quality: int
    target_bytes: int
    format: Literal["auto", "keep", "jpeg", "png", "webp", "avif"]
    max_width: int
    max_height: int
    strip_metadata: bool
    progressive: bool
    optimize: bool
    rows_per_shard: int
    parallelism: int
    max_failed_percent: int
    deadline_seconds: int
    keep_working_files_days: float
    keep_outputs_days: float
    keep_images_days: float


SAME_IN_THE_FORM = frozenset({"webhook_url"})


def form(options: Options) -> dict[str, str]:
    """The form's fields: `min_quality=20` is `minQuality` with the text 20."""
    given: Mapping[str, object] = options
    return {field_name(name): _text(value) for name, value in given.items() if value is not None}


def field_name(name: str) -> str:
    if name in SAME_IN_THE_FORM:
        return name
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
