"""The objects of a CSV: inline where it is short, in a ConfigMap where it fits, else on S3. Pure."""

import base64
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imagebatch.batch.retention import KeepDays
from imagebatch.csv.columns import ColumnOptions
from imagebatch.custom_resource import API_VERSION, KIND
from imagebatch.errors import InputRefusedError
from imagebatch.options import OPTION_NAMES, Compression
from imagebatch.storage import keys

MAX_INLINE_BYTES = 128 * 1024
"""What the resource's schema takes. It counts characters, of which a text has no more than bytes."""

MAX_CONFIG_MAP_BYTES = 1024 * 1024 - 1024
"""The API server takes a MiB of names and contents together."""

ENTRY = "products.csv"
MAX_STEM_CHARS = 40

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Objects:
    """What to create: the ImageBatch, then the ConfigMap that it names, if it does."""

    batch: Json
    config_map: Json | None = None

    def owned_by(self, batch: Json) -> Json:
        """The ConfigMap, owned by the created `batch`, so that it goes when that goes."""
        assert self.config_map is not None
        metadata = batch["metadata"]
        owner = {"apiVersion": API_VERSION, "kind": KIND, "name": metadata["name"], "uid": metadata["uid"]}
        own = {**self.config_map["metadata"], "ownerReferences": [owner]}
        return {**self.config_map, "metadata": own}


def of_file(name: str, namespace: str, data: bytes, form: Mapping[str, str]) -> Objects:
    """The objects of a file that `check_size` lets pass."""
    inline = _inline(data, form.get("encoding"))
    if inline is not None:
        source: Json = {"inline": inline, **ColumnOptions.parse(form).as_spec()}
        return Objects(_batch(name, namespace, source, form))
    source = {"configMap": {"name": name, "key": ENTRY}, **_reading(form)}
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "binaryData": {ENTRY: base64.b64encode(data).decode()},
    }
    return Objects(_batch(name, namespace, source, form), config_map)


def of_s3_key(name: str, namespace: str, key: str, form: Mapping[str, str]) -> Objects:
    """The object of a file on the bucket. Raises InputRefusedError where the operator would not read it."""
    if not key.startswith(keys.imports_prefix(namespace)):
        raise InputRefusedError.of(
            "source_forbidden", f"--s3-key must lie under {keys.imports_prefix(namespace)}, not at {key}"
        )
    return Objects(_batch(name, namespace, {"s3": {"key": key}, **_reading(form)}, form))


def check_size(size: int, namespace: str) -> None:
    """Raise InputRefusedError for a file that is too long for objects, with where to put it."""
    if size <= MAX_CONFIG_MAP_BYTES:
        return
    prefix = keys.imports_prefix(namespace)
    raise InputRefusedError.of(
        "too_large",
        f"a file of over {MAX_CONFIG_MAP_BYTES // 1024} KiB does not fit into an object; put it on "
        f"ImageBatch's bucket under {prefix} and pass its key: --s3-key {prefix}NAME.csv",
    )


def _inline(data: bytes, encoding: str | None) -> str | None:
    """The file as text, if it is short and in UTF-8: inline it is read as that."""
    if len(data) > MAX_INLINE_BYTES or encoding not in {None, "utf-8"}:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _reading(form: Mapping[str, str]) -> Json:
    """How the file is to be read."""
    encoding = {"encoding": form["encoding"]} if "encoding" in form else {}
    return {**encoding, **ColumnOptions.parse(form).as_spec()}


def _batch(name: str, namespace: str, source: Json, form: Mapping[str, str]) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec_of(source, form),
    }


def spec_of(source: Json, form: Mapping[str, str]) -> Json:
    """What was asked for, in the form of the object; what was not is left to its defaults."""
    parsed = Compression.parse({field: form[field] for field in OPTION_NAMES if field in form}).as_spec()
    parts: Json = {
        "compression": {field: value for field, value in parsed.items() if field in form},
        "sharding": _numbers(form, "rowsPerShard", "parallelism"),
        "limits": _numbers(form, "maxFailedPercent", "deadlineSeconds"),
        "keepDays": KeepDays.of_form(form).as_spec(),
        "webhook": {"url": form["webhook_url"]} if "webhook_url" in form else {},
    }
    return {"source": source, **{part: value for part, value in parts.items() if value}}


def _numbers(form: Mapping[str, str], *fields: str) -> Json:
    return {field: int(form[field]) for field in fields if field in form}


def new_name(stem: str) -> str:
    """A name for an object after a file's, with an end that makes it unique."""
    plain = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:MAX_STEM_CHARS].strip("-")
    return f"{plain or 'batch'}-{secrets.token_hex(3)}"
