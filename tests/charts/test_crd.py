"""The ImageBatch schema on a real API server: what it takes, what it refuses, and what it then says to do."""

import json
import secrets
from subprocess import CompletedProcess
from typing import Any

import pytest

from imagebatch_testing.control_plane import ControlPlane

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120, func_only=True)]

Spec = dict[str, Any]

INLINE: Spec = {"source": {"inline": "Serial Number,Product Name,Input Image Urls\n"}}
FULL: Spec = {
    "requestId": "5d6c2f0e-51a5-4c8e-a9cf-0d8b9ad9a5e1",
    "source": {
        "url": "https://shop.example/products.csv?v=2",
        "encoding": "windows-1252",
        "preset": "magento",
        "inPlace": True,
    },
    "compression": {
        "quality": "50%",
        "minQuality": 0,
        "targetBytes": 100_000,
        "format": "webp",
        "maxWidth": 1200,
        "maxHeight": 65535,
        "stripMetadata": True,
        "progressive": False,
        "optimize": True,
    },
    "sharding": {"rowsPerShard": 500, "parallelism": 4},
    "limits": {"maxFailedPercent": 0, "deadlineSeconds": 3600},
    "keepDays": {"workingFiles": 0.5, "outputs": 0, "images": 36500},
    "webhook": {"url": "http://[2001:db8::1]:8080/done", "secretRef": {"name": "hook", "key": "secret"}},
    "suspend": True,
    "cancel": False,
    "attempt": 1,
    "ttlSecondsAfterFinished": 0,
}
FULL_STATUS: Spec = {
    "requestId": "5d6c2f0e-51a5-4c8e-a9cf-0d8b9ad9a5e1",
    "observedGeneration": 3,
    "attempt": 1,
    "phase": "Running",
    "conditions": [
        {
            "type": "Progressing",
            "status": "True",
            "observedGeneration": 3,
            "lastTransitionTime": "2026-11-05T10:00:00Z",
            "reason": "ShardsRunning",
            "message": "2 of 3 shards run",
        }
    ],
    "rows": 4_000_000,
    "images": {"total": 9_000_000_000, "succeeded": 812, "failed": 3},
    "bytes": {"in": 2_000_000_000_000, "out": 1_000_000_000_000},
    "shards": {"total": 3, "done": 1, "failed": 0, "active": 2},
    "progress": "815/9000000000",
    "failures": {"http_status": 2, "not_an_image": 1},
    "outputCsv": "https://s3.example/imagebatch/csvfile/x_output.csv",
    "errorsCsv": "http://imagebatch.example/batches/x/errors.csv",
    "startTime": "2026-11-05T10:00:00Z",
    "completionTime": "2026-11-05T11:00:00.123456Z",
    "suspendedAt": "2026-11-05T10:30:00Z",
    "suspendedSeconds": 12,
    "message": "2 of 3 shards run",
    "error": "",
    "job": "products-5d6c2f0e-a1",
    "links": {
        "requestedAt": "2026-11-05T11:00:01.123456+00:00",
        "errorsCsv": ["https://s3.example/imagebatch/csvfile/x_errors.csv?X-Amz-Signature=1"],
        "reportCsv": ["https://s3.example/imagebatch/csvfile/x_report.csv?X-Amz-Signature=2"],
        "expiresAt": "2026-11-05T11:10:01Z",
    },
    "webhook": {
        "state": "pending",
        "tries": 1,
        "lastError": "HTTP 500",
        "deliveries": [
            {
                "id": "msg_1",
                "attempt": 1,
                "url": "http://hooks.example/",
                "state": "pending",
                "tries": 1,
                "lastError": "HTTP 500",
                "nextTryTime": "2026-11-05T11:00:06Z",
            }
        ],
        "redelivery": {"requestedAt": "now", "error": "the batch is not at its end"},
        "test": {"requestedAt": "now", "id": "msg_test_1", "delivered": False, "error": "HTTP 500"},
    },
}


class Batches:
    """ImageBatch objects in a namespace that no operator watches."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane = plane
        self._in = f"--namespace={namespace}"

    def create(self, spec: object, status: Spec | None = None) -> str:
        """Create an object and set its status; returns its name."""
        made = self._create(spec, "-o=jsonpath={.metadata.name}")
        assert made.returncode == 0, made.stderr
        if status is not None:
            set_ = self.set_status(made.stdout, status)
            assert set_.returncode == 0, set_.stderr
        return made.stdout

    def try_to_create(self, spec: object) -> CompletedProcess[str]:
        return self._create(spec, "--dry-run=server")

    def try_to_change(self, name: str, change: Spec) -> CompletedProcess[str]:
        """Try a merge patch of the spec, in which None removes a field; it is not stored."""
        return self.change(name, change, "--dry-run=server")

    def change(self, name: str, change: Spec, *options: str) -> CompletedProcess[str]:
        patch = json.dumps({"spec": change})
        return self._kubectl("patch", "imagebatch", name, "--type=merge", f"-p={patch}", *options)

    def set_status(self, name: str, status: Spec | None, *options: str) -> CompletedProcess[str]:
        patch = json.dumps({"status": status})
        options = ("--subresource=status", "--type=merge", f"-p={patch}", *options)
        return self._kubectl("patch", "imagebatch", name, *options)

    def read(self, name: str) -> Any:
        return json.loads(self._kubectl("get", "imagebatch", name, "-o=json").stdout)

    def printed(self) -> list[str]:
        """The lines of a wide list."""
        return self._kubectl("get", "ib", "-o=wide").stdout.splitlines()

    def _create(self, spec: object, *options: str) -> CompletedProcess[str]:
        batch = {
            "apiVersion": "imagebatch.dev/v1alpha1",
            "kind": "ImageBatch",
            "metadata": {"generateName": "batch-"},
            "spec": spec,
        }
        return self._kubectl("create", "-f", "-", *options, stdin=json.dumps(batch))

    def _kubectl(self, *args: str, stdin: str | None = None) -> CompletedProcess[str]:
        return self._plane.try_kubectl(self._in, *args, stdin=stdin)


@pytest.fixture(scope="module")
def batches(plane: ControlPlane) -> Batches:
    namespace = f"crd-{secrets.token_hex(4)}"
    plane.kubectl("create", "namespace", namespace)
    return Batches(plane, namespace)


@pytest.fixture(scope="module")
def full(batches: Batches) -> str:
    """An object with every field, that runs."""
    return batches.create(FULL, FULL_STATUS)


@pytest.fixture(scope="module")
def bare(batches: Batches) -> str:
    """An object with a source only, that nobody has taken up."""
    return batches.create(INLINE)


def with_url(url: str) -> Spec:
    return {"source": {"url": url}}


TAKEN: dict[str, Spec] = {
    "all fields": FULL,
    "inline": INLINE,
    "s3": {"source": {"s3": {"key": "imports/shop/products.csv"}}},
    "configMap": {"source": {"configMap": {"name": "products", "key": "products.csv"}}},
    "quality as a number": INLINE | {"compression": {"quality": 1}},
    "quality as a number in quotes": INLINE | {"compression": {"quality": "100"}},
    "quality of all": INLINE | {"compression": {"quality": "100%"}},
    "URL in capitals": with_url("HTTPS://shop.example"),
    "URL with @ in its path": with_url("https://shop.example/a//b@c?d=e@f"),
    "URL with @ in its query": with_url("https://shop.example?d=//e@f"),
    "one letter as id": INLINE | {"requestId": "a"},
    "nulls, which count as absent": INLINE | {"limits": {"deadlineSeconds": None}, "webhook": None},
    "longest inline CSV": {"source": {"inline": "é" * 131_072}},
    "cancelled from the start": INLINE | {"cancel": True},
}


@pytest.mark.parametrize("spec", TAKEN.values(), ids=TAKEN)
def test_a_good_object_is_taken(batches: Batches, spec: Spec) -> None:
    answer = batches.try_to_create(spec)
    assert answer.returncode == 0, answer.stderr


NOT_FETCHED = "spec.source.url is not a URL that can be fetched; write http:// or https://"
NO_USER = (
    "spec.source.url must not hold a user name or password, others can read this object; use a presigned"
)
QUALITY = 'takes a percentage from "1%" to "100%", or a number from 1 to 100'
REQUEST_ID = "spec.requestId takes 1 to 63 of a-z, 0-9 and -, and no - at its ends"
REFUSED: dict[str, tuple[object, str]] = {
    "no spec": (None, "spec: Required value"),
    "no source": ({}, "spec.source is required; say where the CSV is by one of s3, url, configMap or inline"),
    "empty source": ({"source": {}}, "names no CSV; set one of s3, url, configMap or inline"),
    "encoding alone": ({"source": {"encoding": "utf-8"}}, "names no CSV; set one of"),
    "two sources": (
        {"source": {"inline": "a", "url": "https://shop.example/"}},
        "names more than one CSV; keep one of s3, url, configMap and inline",
    ),
    "four sources": (
        {
            "source": {
                "inline": "a",
                "url": "https://shop.example/",
                "s3": {"key": "a"},
                "configMap": {"name": "a", "key": "a"},
            }
        },
        "names more than one CSV",
    ),
    "empty inline CSV": ({"source": {"inline": ""}}, "spec.source.inline in body should be at least 1 chars"),
    "too long inline CSV": ({"source": {"inline": "a" * 131_073}}, "may not be more than 131072"),
    "S3 without key": ({"source": {"s3": {}}}, "spec.source.s3.key: Required value"),
    "ConfigMap without key": (
        {"source": {"configMap": {"name": "a"}}},
        "spec.source.configMap.key: Required value",
    ),
    "columns without links": (
        {"source": {"inline": "a", "columns": {"name": "Title"}}},
        "spec.source.columns.links: Required value",
    ),
    "columns and a preset": (
        {"source": {"inline": "a", "columns": {"links": ["b"]}, "preset": "shopify"}},
        "spec.source.columns and spec.source.preset are both given; keep one of them",
    ),
    "unknown preset": ({"source": {"inline": "a", "preset": "ebay"}}, '"woocommerce"'),
    "unknown encoding": (INLINE | {"source": {"inline": "a", "encoding": "ebcdic"}}, '"windows-1252"'),
    "URL without scheme": (with_url("shop.example/products.csv"), NOT_FETCHED),
    "URL of a path": (with_url("/products.csv"), NOT_FETCHED),
    "URL of a file": (with_url("file:///etc/passwd"), NOT_FETCHED),
    "URL of FTP": (with_url("ftp://shop.example/products.csv"), NOT_FETCHED),
    "URL without host": (with_url("https:///products.csv"), NOT_FETCHED),
    "URL with a space": (with_url("https://shop.example /products.csv"), NOT_FETCHED),
    "URL with a user": (with_url("https://me@shop.example/products.csv"), NO_USER),
    "URL with a password": (with_url("https://me:secret@shop.example/"), NO_USER),
    "too long URL": (with_url("https://shop.example/" + "a" * 2048), "may not be more than 2048"),
    "bad webhook URL": (
        INLINE | {"webhook": {"url": "hooks.example/done"}},
        "spec.webhook.url is not a URL that can be called; write http:// or https://",
    ),
    "webhook URL with a password": (
        INLINE | {"webhook": {"url": "https://me:secret@hooks.example/"}},
        "spec.webhook.url must not hold a user name or password",
    ),
    "webhook without URL": (INLINE | {"webhook": {}}, "spec.webhook.url: Required value"),
    "secret without name": (
        INLINE | {"webhook": {"url": "https://hooks.example/", "secretRef": {"key": "secret"}}},
        "spec.webhook.secretRef.name: Required value",
    ),
    "id in capitals": (INLINE | {"requestId": "ABC"}, REQUEST_ID),
    "id that ends in -": (INLINE | {"requestId": "abc-"}, REQUEST_ID),
    "id that would leave its folder": (INLINE | {"requestId": "../other"}, REQUEST_ID),
    "too long id": (INLINE | {"requestId": "a" * 64}, "may not be more than 63"),
    "quality of nothing": (INLINE | {"compression": {"quality": "0%"}}, QUALITY),
    "quality of too much": (INLINE | {"compression": {"quality": "101%"}}, QUALITY),
    "quality in words": (INLINE | {"compression": {"quality": "good"}}, QUALITY),
    "negative quality": (INLINE | {"compression": {"quality": -1}}, QUALITY),
    "quality over 100": (INLINE | {"compression": {"quality": 101}}, QUALITY),
    "fraction of quality": (INLINE | {"compression": {"quality": 1.5}}, "spec.compression.quality"),
    "negative floor": (INLINE | {"compression": {"minQuality": -1}}, "greater than or equal to 0"),
    "no width": (INLINE | {"compression": {"maxWidth": 0}}, "greater than or equal to 1"),
    "no target": (INLINE | {"compression": {"targetBytes": 0}}, "greater than or equal to 1"),
    "negative height": (INLINE | {"compression": {"maxHeight": -5}}, "greater than or equal to 1"),
    "unknown format": (INLINE | {"compression": {"format": "gif"}}, '"auto", "keep", "jpeg"'),
    "no rows in a shard": (INLINE | {"sharding": {"rowsPerShard": 0}}, "greater than or equal to 1"),
    "negative parallelism": (INLINE | {"sharding": {"parallelism": -4}}, "greater than or equal to 1"),
    "too much parallelism": (INLINE | {"sharding": {"parallelism": 1001}}, "less than or equal to 1000"),
    "negative share": (INLINE | {"limits": {"maxFailedPercent": -1}}, "greater than or equal to 0"),
    "share over 100": (INLINE | {"limits": {"maxFailedPercent": 101}}, "less than or equal to 100"),
    "days before the end": (INLINE | {"keepDays": {"images": -1}}, "greater than or equal to 0"),
    "a kind of files that there is not": (INLINE | {"keepDays": {"pictures": 1}}, "pictures"),
    "deadline at once": (INLINE | {"limits": {"deadlineSeconds": 0}}, "greater than or equal to 1"),
    "negative TTL": (INLINE | {"ttlSecondsAfterFinished": -1}, "greater than or equal to 0"),
    "attempt 0": (INLINE | {"attempt": 0}, "greater than or equal to 1"),
    "a field that is no field": (INLINE | {"parallelism": 4}, 'unknown field "spec.parallelism"'),
}


@pytest.mark.parametrize(("spec", "says"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_object_is_refused_with_advice(batches: Batches, spec: object, says: str) -> None:
    answer = batches.try_to_create(spec)
    assert answer.returncode != 0
    assert says in answer.stderr


MUTABLE: dict[str, Spec] = {
    "suspend": {"suspend": False},
    "no suspend": {"suspend": None},
    "cancel": {"cancel": True},
    "parallelism": {"sharding": {"parallelism": 8}},
    "limits": {"limits": {"maxFailedPercent": 10, "deadlineSeconds": None}},
    "no limits": {"limits": None},
    "days": {"keepDays": {"workingFiles": 1}},
    "TTL": {"ttlSecondsAfterFinished": 60},
    "attempt 1, which is the same as none": {"attempt": None},
}


@pytest.mark.parametrize("change", MUTABLE.values(), ids=MUTABLE)
def test_what_may_change_can_be_changed(batches: Batches, full: str, change: Spec) -> None:
    answer = batches.try_to_change(full, change)
    assert answer.returncode == 0, answer.stderr


NEW = "create a new ImageBatch"
IMMUTABLE: dict[str, tuple[Spec, str]] = {
    "source removed": ({"source": None}, f"spec.source can't be changed; {NEW}"),
    "source changed": (with_url("https://shop.example/2"), f"spec.source can't be changed; {NEW}"),
    "another source": ({"source": {"url": None, "inline": "a"}}, f"spec.source can't be changed; {NEW}"),
    "encoding removed": ({"source": {"encoding": None}}, f"spec.source can't be changed; {NEW}"),
    "requestId changed": ({"requestId": "abc"}, f"spec.requestId can't be added, changed or removed; {NEW}"),
    "requestId removed": ({"requestId": None}, f"spec.requestId can't be added, changed or removed; {NEW}"),
    "compression changed": ({"compression": {"quality": 60}}, f"spec.compression can't be changed; {NEW}"),
    "quality as a number": ({"compression": {"quality": 50}}, f"spec.compression can't be changed; {NEW}"),
    "compression removed": ({"compression": None}, f"spec.compression can't be changed; {NEW}"),
    "an option removed": ({"compression": {"format": None}}, f"spec.compression can't be changed; {NEW}"),
    "rowsPerShard changed": (
        {"sharding": {"rowsPerShard": 1}},
        "spec.sharding.rowsPerShard can't be changed",
    ),
    "rowsPerShard removed": (
        {"sharding": {"rowsPerShard": None}},
        "spec.sharding.rowsPerShard can't be changed",
    ),
    "sharding removed": ({"sharding": None}, "spec.sharding.rowsPerShard can't be changed"),
    "webhook changed": ({"webhook": {"url": "https://b.example/"}}, f"spec.webhook can't be changed; {NEW}"),
    "webhook removed": ({"webhook": None}, f"spec.webhook can't be changed; {NEW}"),
    "secret removed": ({"webhook": {"secretRef": None}}, f"spec.webhook can't be changed; {NEW}"),
    "negative number": ({"sharding": {"parallelism": -1}}, "greater than or equal to 1"),
}


@pytest.mark.parametrize(("change", "says"), IMMUTABLE.values(), ids=IMMUTABLE)
def test_what_may_not_change_is_refused_with_advice(
    batches: Batches, full: str, change: Spec, says: str
) -> None:
    answer = batches.try_to_change(full, change)
    assert answer.returncode != 0
    assert says in answer.stderr


ADDED: dict[str, tuple[Spec, str]] = {
    "requestId": ({"requestId": "abc"}, f"spec.requestId can't be added, changed or removed; {NEW}"),
    "encoding": ({"source": {"encoding": "utf-8"}}, f"spec.source can't be changed; {NEW}"),
    "compression": ({"compression": {"quality": 60}}, f"spec.compression can't be changed; {NEW}"),
    "rowsPerShard": ({"sharding": {"rowsPerShard": 9}}, "spec.sharding.rowsPerShard can't be changed"),
    "webhook": ({"webhook": {"url": "https://b.example/"}}, f"spec.webhook can't be changed; {NEW}"),
}


@pytest.mark.parametrize(("change", "says"), ADDED.values(), ids=ADDED)
def test_what_may_not_change_cannot_be_added_later(
    batches: Batches, bare: str, change: Spec, says: str
) -> None:
    answer = batches.try_to_change(bare, change)
    assert answer.returncode != 0
    assert says in answer.stderr


def test_what_may_change_can_be_added_later(batches: Batches, bare: str) -> None:
    added = {"sharding": {"parallelism": 8}, "limits": {"maxFailedPercent": 5}, "suspend": True}
    answer = batches.try_to_change(bare, added)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("taken_back", [False, None], ids=["false", "removed"])
def test_cancel_cannot_be_taken_back(batches: Batches, taken_back: object) -> None:
    name = batches.create(INLINE | {"cancel": True})
    answer = batches.try_to_change(name, {"cancel": taken_back})
    assert answer.returncode != 0
    assert "spec.cancel can't be taken back, but at the batch's end" in answer.stderr


ONE_MORE = "spec.attempt may only grow, and by one"
NOT_ENDED = "spec.attempt may only grow when the last attempt has ended; wait until status.phase is Complete"


@pytest.mark.parametrize("phase", ["Complete", "Failed"])
def test_an_ended_batch_can_be_tried_again_once_more(batches: Batches, phase: str) -> None:
    name = batches.create(INLINE, {"phase": phase, "attempt": 1})
    for too_far in (3, 100):
        refused = batches.try_to_change(name, {"attempt": too_far})
        assert ONE_MORE in refused.stderr
    assert batches.change(name, {"attempt": 2}).returncode == 0
    for back in (1, None):
        refused = batches.try_to_change(name, {"attempt": back})
        assert ONE_MORE in refused.stderr
    refused = batches.try_to_change(name, {"attempt": 3})
    assert NOT_ENDED in refused.stderr, "attempt 2 has not even begun"
    assert batches.set_status(name, {"phase": phase, "attempt": 2}).returncode == 0
    assert batches.try_to_change(name, {"attempt": 3}).returncode == 0


@pytest.mark.parametrize("phase", [None, "Pending", "Planning", "Running", "Merging"])
def test_a_batch_that_has_not_ended_cannot_be_tried_again(batches: Batches, phase: str | None) -> None:
    name = batches.create(INLINE, {"phase": phase})
    answer = batches.try_to_change(name, {"attempt": 2})
    assert answer.returncode != 0
    assert NOT_ENDED in answer.stderr


def test_a_cancelled_batch_is_tried_again_when_its_cancel_goes(batches: Batches) -> None:
    name = batches.create(INLINE | {"cancel": True}, {"phase": "Cancelled"})
    answer = batches.try_to_change(name, {"attempt": 2})
    assert "a cancelled batch runs again only when spec.cancel becomes false" in answer.stderr
    answer = batches.try_to_change(name, {"attempt": 2, "cancel": False})
    assert answer.returncode == 0, answer.stderr


def test_a_batch_that_is_being_cancelled_stays_so(batches: Batches) -> None:
    name = batches.create(INLINE | {"cancel": True}, {"phase": "Running"})
    answer = batches.try_to_change(name, {"attempt": 2, "cancel": False})
    assert NOT_ENDED in answer.stderr


@pytest.mark.parametrize("phase", ["Complete", "Failed", "Cancelled"])
def test_an_end_is_final_unless_the_attempt_grows(batches: Batches, phase: str) -> None:
    name = batches.create(INLINE, {"phase": phase, "message": "over"})
    others = {"Running", "Complete", "Failed", "Cancelled", None} - {phase}
    for status in [*({"phase": other} for other in others), None]:
        answer = batches.set_status(name, status, "--dry-run=server")
        assert answer.returncode != 0
        assert "status.phase can't leave Complete, Failed or Cancelled; raise spec.attempt" in answer.stderr
    assert batches.set_status(name, {"message": "all over"}).returncode == 0
    assert batches.change(name, {"attempt": 2}).returncode == 0
    assert batches.set_status(name, {"phase": "Running", "attempt": 2}).returncode == 0
    assert batches.set_status(name, {"phase": phase}).returncode == 0
    assert batches.set_status(name, {"phase": "Running"}).returncode != 0


def test_a_status_with_every_field_is_stored_whole(batches: Batches, full: str) -> None:
    stored = batches.read(full)
    assert stored["spec"] == FULL
    assert stored["status"] == FULL_STATUS


def test_the_spec_has_no_defaults(batches: Batches, bare: str) -> None:
    assert batches.read(bare)["spec"] == INLINE


def test_the_printed_columns_tell_the_state(plane: ControlPlane, batches: Batches, full: str) -> None:
    del full
    printed = batches.printed()
    assert printed[0].split() == ["NAME", "PHASE", "DONE", "FAILED", "REASON", "AGE", "OUTPUT", "MESSAGE"]
    assert any("Running" in line and "815/9000000000" in line for line in printed)
    assert "imagebatch" in plane.kubectl("api-resources", "--categories=all", "-o=name")


def test_explain_says_what_a_field_is(plane: ControlPlane, batches: Batches) -> None:
    del batches
    explained = plane.kubectl("explain", "imagebatch.spec.source")
    assert "exactly one of s3, url, configMap and inline" in " ".join(explained.split())
