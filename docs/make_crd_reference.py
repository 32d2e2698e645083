"""Writes docs/imagebatch.md from the resource's schema. A test holds that it is current.

Usage: python docs/make_crd_reference.py
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

HERE = Path(__file__).parent
CRD = HERE.parent / "charts" / "imagebatch" / "files" / "crd.yaml"
PAGE = "imagebatch.md"

Json = dict[str, Any]

HEAD = """# The ImageBatch resource

`imagebatch.dev/v1alpha1`, kind `ImageBatch`, short name `ib`. One object is one batch: which CSV, how to
compress, how far it is. Made by `python docs/make_crd_reference.py` from `charts/imagebatch/files/crd.yaml`.

```yaml
apiVersion: imagebatch.dev/v1alpha1
kind: ImageBatch
metadata:
  name: products
spec:
  source:
    url: https://shop.example/products.csv
  compression:
    quality: 50%
    maxWidth: 1200
  webhook:
    url: https://hooks.example/done
    secretRef: {name: webhook-signing}
```

```sh
kubectl apply -f products.yaml
kubectl get ib products --watch                              # Phase, Done, Failed, Age
kubectl wait ib products --for=condition=Finished --timeout=1h
kubectl get ib products -o jsonpath='{.status.outputCsv}'    # the link of the output CSV
kubectl describe ib products                                 # what happened, as events
kubectl patch ib products --type=merge -p '{"spec": {"suspend": true}}'
kubectl patch ib products --type=merge -p '{"spec": {"suspend": false}}'
kubectl patch ib products --type=merge -p '{"spec": {"attempt": 2}}'    # again what failed, after its end
kubectl patch ib products --type=merge -p '{"spec": {"cancel": true}}'
kubectl delete ib products                                   # ends it, removes its pods; results stay
```

Phases: Pending → Planning → Running → Merging → Complete, Failed or Cancelled. A batch some of whose images
failed is Complete; the message counts them, and the errors CSV has them with the reasons
([errors.md](errors.md)). The batch's record, and with it the API's `GET /status/{status.requestId}`, outlives
the object.

## Whose it is

Where the API asks for [tokens](api.md#who-may-ask), it shows a batch only to those whose token has the name
with which it was uploaded. The object of an upload carries that name in the annotation
`imagebatch.dev/uploaded-by`. One that you apply belongs to no token, and the API answers 404 for it, unless
you give it that annotation with the name of a token when you create it; later it changes nothing. Who may
read the object itself, Kubernetes' roles say.

## Asking by annotations

`kubectl imagebatch` asks the operator for these; so can you. It answers each new value once, in the status
([0019](decisions/0019-asking-the-operator.md)); a time is a good one.

```sh
now="$(date -u +%FT%TZ)"
kubectl annotate ib products --overwrite imagebatch.dev/links-requested-at="$now"        # status.links
kubectl annotate ib products --overwrite imagebatch.dev/redelivery-requested-at="$now"   # status.webhook
kubectl annotate ib products --overwrite imagebatch.dev/webhook-test-requested-at="$now" # and its test
kubectl get ib products -o jsonpath='{.status.links.reportCsv[0]}'    # private: good for 10 minutes
```

Who may patch the object may read its report by this. While a link is in the status, who may read the object
may follow it.
"""
RULES_HEAD = """## What is refused, and what to do

Beside the types and bounds above, the API server holds these rules, whoever writes the object:
"""


def page() -> str:
    crd = yaml.safe_load(CRD.read_text())
    (version,) = crd["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    parts = schema["properties"]
    return "\n".join(
        [
            HEAD,
            "## spec\n",
            parts["spec"]["description"] + "\n",
            *_table(parts["spec"]),
            "## status\n",
            parts["status"]["description"] + "\n",
            *_table(parts["status"]),
            RULES_HEAD,
            *(f"- {message}" for message in _messages(schema)),
            "",
        ]
    )


def _table(schema: Json) -> Iterator[str]:
    yield "| field | type | meaning |\n|---|---|---|"
    for path, field in _fields(schema):
        yield f"| `{path}` | {_type(field)} | {field['description']} |"
    yield ""


def _fields(schema: Json, prefix: str = "") -> Iterator[tuple[str, Json]]:
    """Every field by its path, parents first."""
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield path, {**field, "required": name in required}
        yield from _fields(field, f"{path}.")
        yield from _fields(field.get("items", {}), f"{path}[].")


def _type(field: Json) -> str:
    required = ", required" if field["required"] is True else ""
    if field.get("x-kubernetes-int-or-string"):
        return f"integer or string{required}"
    if "enum" in field:
        return "one of " + ", ".join(f"`{value}`" for value in field["enum"]) + required
    return f"{_of_what(field)}{_bounds(field)}{required}"


def _of_what(field: Json) -> str:
    if field.get("format") == "date-time":
        return "time"
    if field["type"] == "array":
        return f"list of {field['items']['type']}s"
    if "additionalProperties" in field:
        return f"map of {field['additionalProperties']['type']}s"
    return str(field["type"])


def _bounds(field: Json) -> str:
    if field.get("format") == "date-time":
        return ""
    low, high = field.get("minimum"), field.get("maximum")
    if high is not None:
        return f", {low} to {high}"
    if low is not None:
        return f", from {low}"
    if "maxLength" in field:
        return f", at most {field['maxLength']} characters"
    return ""


def _messages(schema: Json) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", []):
        yield rule["message"]
    for field in schema.get("properties", {}).values():
        yield from _messages(field)


PAGES = {PAGE: page}

if __name__ == "__main__":
    for name, make in PAGES.items():
        (HERE / name).write_text(make())
