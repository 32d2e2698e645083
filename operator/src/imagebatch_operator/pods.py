"""What jobrunner pods say of why a batch does or does not move. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from imagebatch.batch.exit_codes import Exit
from imagebatch.batch.lifecycle import Waiting
from imagebatch.batch.shard_ends import MAX_REFUSALS, refused, waiting_after
from imagebatch_operator.job import JobFacts
from imagebatch_operator.names import CONTAINER, JOB_INDEX

Json = Mapping[str, Any]

STUCK_AFTER = timedelta(minutes=10)
IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
CONFIG_REASONS = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """A jobrunner pod. `index` is the Job's; `exit_code` and `last_word` are those of its end."""

    name: str
    index: int
    is_running: bool = False
    unschedulable: str = ""
    waiting_reason: str = ""
    waiting_message: str = ""
    exit_code: int | None = None
    last_word: str = ""
    ended_at: datetime = NEVER
    is_disrupted: bool = False
    stopping_since: datetime | None = None

    def is_stuck(self, now: datetime) -> bool:
        """Whether its node does not end it any more."""
        return self.stopping_since is not None and now - self.stopping_since > STUCK_AFTER


def pod_facts(pod: Json) -> PodFacts:
    """Read a pod of ours."""
    metadata, status = pod["metadata"], pod.get("status", {})
    conditions = {found["type"]: found for found in status.get("conditions", ())}
    states = [found for found in status.get("containerStatuses", ()) if found["name"] == CONTAINER]
    state: Json = states[0].get("state", {}) if states else {}
    over: Json = state.get("terminated") or {}
    waits: Json = state.get("waiting") or {}
    scheduled = conditions.get("PodScheduled", {})
    return PodFacts(
        name=metadata["name"],
        index=int(metadata.get("annotations", {}).get(JOB_INDEX, 0)),
        is_running="running" in state,
        unschedulable=scheduled.get("message", "") if scheduled.get("reason") == "Unschedulable" else "",
        waiting_reason=waits.get("reason", ""),
        waiting_message=waits.get("message", ""),
        exit_code=over.get("exitCode"),
        last_word=" ".join(over.get("message", over.get("reason", "")).split()),
        ended_at=_moment(over.get("finishedAt")) or NEVER,
        is_disrupted=conditions.get("DisruptionTarget", {}).get("status") == "True",
        stopping_since=_moment(metadata.get("deletionTimestamp")),
    )


def _moment(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None


def running_shards(job: JobFacts, pods: Iterable[PodFacts]) -> list[int]:
    """The shards under way, by index."""
    found = {pod.index for pod in pods if pod.is_running}
    return sorted(job.shards[index] for index in found if index < len(job.shards))


def defect(job: JobFacts, pods: Iterable[PodFacts]) -> str:
    """Why the batch can't go on, in the words of the pods; empty when it can.

    Either the Job was ended as a whole, or the system refused one shard's pods the same `MAX_REFUSALS` times
    in a row.
    """
    if job.ended != "Failed" or job.reason != "PodFailurePolicy":
        return _refused_again(pods)
    words = [pod.last_word for pod in pods if pod.exit_code == Exit.DEFECT and pod.last_word]
    return words[0] if words else job.message or "the Job failed by its pod failure policy"


def _refused_again(pods: Iterable[PodFacts]) -> str:
    ends: dict[int, list[PodFacts]] = defaultdict(list)
    for pod in sorted(pods, key=lambda pod: pod.ended_at):
        if pod.exit_code is not None and not pod.is_disrupted:
            ends[pod.index].append(pod)
    for of_shard in ends.values():
        last = of_shard[-MAX_REFUSALS:]
        said = {(pod.exit_code, pod.last_word) for pod in last}
        if len(last) == MAX_REFUSALS and len(said) == 1 and last[0].exit_code == Exit.SYSTEM:
            return refused(last[0].last_word)
    return ""


def waiting(pods: Sequence[PodFacts], last_done: datetime) -> Waiting | None:
    """What keeps the pods from working, the most certain cause first; None when none is known.

    `last_done` is when a shard was done last: troubles before it are over.
    """
    for pod in pods:
        if pod.waiting_reason in IMAGE_REASONS:
            return Waiting("ImageNotPulled", f"pod {pod.name}: {pod.waiting_reason}: {pod.waiting_message}")
        if pod.waiting_reason in CONFIG_REASONS:
            return Waiting("PodNotStarted", f"pod {pod.name}: {pod.waiting_message or pod.waiting_reason}")
    if not any(pod.is_running for pod in pods):
        for pod in pods:
            if pod.unschedulable:
                return Waiting("Unschedulable", f"pod {pod.name}: {pod.unschedulable}")
    return _troubled(pods, last_done)


def trouble(pods: Sequence[PodFacts]) -> str:
    """How a pod ended last that ended badly, in words; empty when none is known."""
    found = _troubled(pods, NEVER)
    return found.message if found is not None else ""


def _troubled(pods: Sequence[PodFacts], last_done: datetime) -> Waiting | None:
    ends = [pod for pod in pods if pod.exit_code and pod.ended_at > last_done and not pod.is_disrupted]
    ends = [pod for pod in ends if pod.exit_code != Exit.TERMINATED]
    if not ends:
        return None
    last = max(ends, key=lambda pod: pod.ended_at)
    assert last.exit_code is not None
    trouble = waiting_after(last.exit_code, last.last_word)
    return replace(trouble, message=f"pod {last.name}: {trouble.message}")
