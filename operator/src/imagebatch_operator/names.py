"""Every name that the operator leaves on the cluster: labels, annotations, finalizer, field managers."""

from imagebatch import custom_resource

FINALIZER = f"{custom_resource.GROUP}/cleanup"

REQUEST_ID = f"{custom_resource.GROUP}/request-id"
BATCH_UID = f"{custom_resource.GROUP}/batch-uid"
"""The one by which the operator finds what belongs to an object: nobody else's object has its uid."""

BATCH = f"{custom_resource.GROUP}/batch"
"""The object's name: whole as an annotation, cut to its length as a label."""

ATTEMPT = f"{custom_resource.GROUP}/attempt"

SHARDS = f"{custom_resource.GROUP}/shards"
"""Annotation of a Job: which shards it does, by index."""

LINKS_UNTIL = f"{custom_resource.GROUP}/links-until"
"""Annotation of a Job: until when the links to the input that its pods get are good (ISO 8601)."""

JOBRUNNER_LABELS = {
    "app.kubernetes.io/name": "imagebatch",
    "app.kubernetes.io/component": "jobrunner",
    "app.kubernetes.io/managed-by": "imagebatch-operator",
}
JOBRUNNER_SELECTOR = ",".join(f"{name}={value}" for name, value in JOBRUNNER_LABELS.items())

JOB_INDEX = "batch.kubernetes.io/job-completion-index"
"""Annotation that an Indexed Job gives its pods."""

CONTAINER = "jobrunner"

STATUS_MANAGER = "imagebatch-operator"
WEBHOOK_MANAGER = "imagebatch-operator-webhook"
LINKS_MANAGER = "imagebatch-operator-links"
REDELIVERY_MANAGER = "imagebatch-operator-redelivery"
TEST_MANAGER = "imagebatch-operator-webhook-test"
"""Each owns its own part of the status, and writes it without the others."""

REPORTER = "imagebatch-operator"

MAX_LABEL_CHARS = 63


def batch_labels(uid: str, request_id: str, batch_name: str) -> dict[str, str]:
    """The labels of everything that belongs to one batch."""
    name = batch_name[:MAX_LABEL_CHARS].rstrip("-.")
    return {**JOBRUNNER_LABELS, BATCH_UID: uid, REQUEST_ID: request_id, BATCH: name}
