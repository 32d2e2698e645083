"""What the watches have seen of the cluster: the pods of each batch, as facts."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from imagebatch_operator.pods import PodFacts, pod_facts

Json = Mapping[str, Any]


class PodCache:
    """Jobrunner pods by the uid of their batch. It may hold pods that are gone, and miss new ones briefly."""

    def __init__(self) -> None:
        self._pods: dict[str, dict[str, PodFacts]] = defaultdict(dict)

    def see(self, batch_uid: str, pod: Json, *, is_gone: bool) -> None:
        """Take in a watch event."""
        name = pod["metadata"]["name"]
        if is_gone:
            self._pods[batch_uid].pop(name, None)
        else:
            self._pods[batch_uid][name] = pod_facts(pod)

    def of(self, batch_uid: str) -> list[PodFacts]:
        return list(self._pods.get(batch_uid, {}).values())

    def forget(self, batch_uid: str) -> None:
        self._pods.pop(batch_uid, None)
