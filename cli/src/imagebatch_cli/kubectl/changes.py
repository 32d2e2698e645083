"""What each verb changes in an object's spec, and when it is refused: as the REST API does it. Pure."""

from typing import Any

from imagebatch.batch.control import TO_RUN
from imagebatch.batch.lifecycle import Phase
from imagebatch.custom_resource import ImageBatch
from imagebatch.errors import FilesRemovedError, InputRefusedError

Json = dict[str, Any]


def cancel(body: Json) -> Json:
    """Nothing, for one that is cancelled."""
    batch = ImageBatch(body)
    if batch.is_shown_finished and batch.phase is Phase.CANCELLED:
        return {}
    _check_running(batch)
    return {"cancel": True}


def suspend(body: Json) -> Json:
    _check_running(ImageBatch(body))
    return {"suspend": True}


def resume(body: Json) -> Json:
    _check_running(ImageBatch(body))
    return {"suspend": False}


def retry(body: Json) -> Json:
    batch = ImageBatch(body)
    _check_finished(batch)
    images = batch.status.get("images", {})
    if not images.get("failed") and not images.get("skipped"):
        raise InputRefusedError.of("nothing_to_retry", "no image of the batch failed or was skipped")
    if (since := batch.request().removed.prevents_retry) is not None:
        raise InputRefusedError.of("files_removed", str(FilesRemovedError(since)))
    return {**TO_RUN, "attempt": batch.attempt + 1}


def check_deletable(body: Json) -> None:
    """Raise InputRefusedError for one that runs."""
    _check_finished(ImageBatch(body))


def check_redeliverable(body: Json) -> None:
    """Raise InputRefusedError for one that has no webhook to send again."""
    check_has_webhook(body)
    if not ImageBatch(body).is_shown_finished:
        raise InputRefusedError.of(
            "no_webhook", "the batch is not at its end: there is no webhook to send yet"
        )


def check_has_webhook(body: Json) -> None:
    if not ImageBatch(body).webhook_url:
        raise InputRefusedError.of("no_webhook", "the batch has no webhook")


def _check_running(batch: ImageBatch) -> None:
    if batch.is_shown_finished:
        raise InputRefusedError.of("already_finished", f"the batch is at its end: {batch.phase.value}")


def _check_finished(batch: ImageBatch) -> None:
    if not batch.is_shown_finished:
        raise InputRefusedError.of("still_running", "the batch is not at its end; cancel it, or wait for it")
